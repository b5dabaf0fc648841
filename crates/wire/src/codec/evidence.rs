//! Evidence, verdicts and judgements.

use domain::check::Judgement;
use domain::evidence::{Arm, BlobRef, Change, ChangeVector, Evidence, Finding, Measurement};
use domain::run::PolicyTerm;
use domain::verdict::Verdict;

use crate::generated::v1;

choice!(Arm => Arm { Candidate, Live });
choice!(Change => Change { Same, Changed, Unknown });
choice!(Verdict => Verdict { Pass, Fail, Inconclusive, NoData });

message!(Measurement => Measurement { check, method, arm, n, sum, sum_sq, counts, values, unit, inputs });
message!(Finding => Finding { check, code, text });
message!(BlobRef => BlobRef { digest, kind, size });
message!(Evidence => Evidence { digest, measurements, findings, blobs });
message!(ChangeVector => ChangeVector { model, code, data, features, config, runtime });
message!(Judgement => Judgement { verdict, method, value, lower, upper, bound, n, terms, note });
message!(PolicyTerm => PolicyTerm { name, text, verdict, values });
