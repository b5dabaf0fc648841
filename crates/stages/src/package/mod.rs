//! Packages a trained model: fetch, look at the bytes, make the bundle, sign it.
//!
//! ```text
//! fetch (cap, size, digest) -> format from the bytes -> signature found against declared
//!   -> required lineage -> test files -> bundle -> change against live -> store -> sign
//! ```
//!
//! **Invariant:** nothing of a refused model is stored but the evidence that says why. No model is ever run or
//! unpickled here.

mod address;
mod bounds;
mod change;
mod fetch;
mod format;
mod lineage;
mod onnx;
mod pickle;
mod signature;

use domain::evidence::{Arm, Finding, MEASUREMENTS_MAX, Measurement};
use domain::model::{Signature, TestFile};
use domain::name::{CheckName, Digest};
use domain::work::{self, Outcome, Packed};
use engine::fail::{self, Point};

use crate::bundle::Draft;
use crate::evidence::{Gathered, blob, check_name, finding, set};
use crate::trouble::Trouble;
use crate::{Attempt, Workers};

const NAME: &str = "package";
const METHOD: &str = "package/1";

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Package,
) -> Result<Outcome, Trouble> {
    let mut gathered = Gathered::default();
    let bundle = match pack(workers, attempt, order, &mut gathered) {
        Ok(bundle) => Some(bundle),
        Err(Stop::Refused(finding)) => {
            gathered.blobs.clear();
            gathered.findings.push(finding);
            None
        }
        Err(Stop::Trouble(trouble)) => return Err(trouble),
    };
    let evidence = gathered.seal(workers.ports.blobs.as_ref(), MEASUREMENTS_MAX)?;
    fail::at(Point::B3);
    Ok(Outcome::Packed(Packed { evidence: evidence.into(), bundle: bundle.map(Into::into) }))
}

/// Why packaging ends without a bundle.
#[derive(Debug)]
enum Stop {
    /// What was published is at fault.
    Refused(Finding),
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Stop {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

fn name() -> CheckName {
    check_name(NAME)
}

fn refuse(code: &str, text: impl AsRef<str>) -> Stop {
    Stop::Refused(finding(&name(), code, text))
}

fn pack(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Package,
    gathered: &mut Gathered,
) -> Result<work::Bundle, Stop> {
    let (trained, blobs) = (&order.trained, workers.ports.blobs.as_ref());
    let fetcher = fetch::Fetcher { config: &workers.config.fetch, attempt };

    attempt.step("fetching the artifact")?;
    let cap = order.with.size_max_bytes.min(workers.config.fetch.bytes_max);
    let wanted = fetch::Wanted {
        what: "the artifact",
        uri: &trained.artifact.uri,
        sha256: trained.artifact.sha256,
        size: trained.artifact.size,
        bytes_max: cap,
    };
    let model = fetcher.fetch(wanted)?;
    let format = format::detect(&model)?;
    format::allow(format, trained.artifact.format.as_deref(), &order.with.formats)?;
    bounds::check(&model)?;
    let onnx = onnx::read(&model)?;
    let found = signature::join(&onnx, &trained.signature)?;
    lineage::require(trained, &order.with.require)?;

    attempt.step("fetching the test files")?;
    let test_file = |what: &'static str, file: &Option<TestFile>| match file {
        None => Ok(None),
        Some(file) => {
            let (sha256, uri) = (file.sha256, &*file.uri);
            let wanted =
                fetch::Wanted { what, uri, sha256, size: None, bytes_max: workers.config.fetch.bytes_max };
            fetcher.fetch(wanted).map(Some)
        }
    };
    let evaluation = test_file("the evaluation data", &trained.evaluation)?;
    let baseline = test_file("the baseline profile", &trained.baseline)?;

    let draft = Draft::new(trained, format.as_str(), &found, &model);
    let change = change::against(blobs, order.live.as_ref(), trained)?;
    if order.with.sign && workers.config.signer.is_none() {
        return Err(Stop::Trouble(Trouble::NoSigningKey));
    }

    attempt.step("storing the bundle")?;
    for (kind, file) in [("evaluation", &evaluation), ("baseline", &baseline)] {
        if let Some(bytes) = file {
            gathered.blobs.push(blob(blobs.put(bytes)?, kind, bytes.len()));
        }
    }
    let digest = draft.store(blobs, &model)?;
    gathered.blobs.push(blob(digest, "bundle", draft.manifest.len()));
    gathered.blobs.push(blob(trained.artifact.sha256, "model", model.len()));
    let signed_by = match &workers.config.signer {
        Some(signer) if order.with.sign => {
            let envelope = signer.sign(digest, trained);
            let referrer = blobs.put(&envelope)?;
            let added = workers.ports.referrers.add(digest, referrer);
            added.map_err(|source| Trouble::Referrers { subject: digest, source })?;
            gathered.blobs.push(blob(referrer, "signature", envelope.len()));
            Some(signer.public_key().fingerprint().into())
        }
        _ => None,
    };
    gathered.measurements.push(measurement(&onnx, model.len(), trained.artifact.sha256));
    Ok(work::Bundle {
        digest,
        size: draft.size(&model),
        format: format.as_str().into(),
        artifact: trained.artifact.sha256,
        signature: found,
        signed_by,
        change,
    })
}

/// Whether bytes are a model with a signature that fits; all that is done with them before they are stored.
pub(crate) fn look(model: &[u8], declared: &Signature) -> bool {
    let looked = || -> Result<(), Stop> {
        let format = format::detect(model)?;
        format::allow(format, None, &[format::Format::Onnx.as_str().into()])?;
        bounds::check(model)?;
        let onnx = onnx::read(model)?;
        signature::join(&onnx, &Signature::default())?;
        signature::join(&onnx, declared).map(|_| ())
    };
    looked().is_ok()
}

/// Whether a text is an address of a file at all.
pub(crate) fn is_path(address: &str) -> bool {
    address::path_of(address).is_ok()
}

fn measurement(onnx: &onnx::Found, bytes: usize, artifact: Digest) -> Measurement {
    let mut measurement = Measurement::new(name(), METHOD, Arm::Candidate);
    measurement.n = 1;
    measurement.sum = bytes as f64;
    measurement.sum_sq = measurement.sum * measurement.sum;
    measurement.unit = "bytes".into();
    measurement.inputs = Some(artifact);
    set(&mut measurement, "inputs", onnx.inputs.len() as f64);
    set(&mut measurement, "outputs", onnx.outputs.len() as f64);
    set(&mut measurement, "nodes", onnx.nodes as f64);
    set(&mut measurement, "parameters", onnx.parameters as f64);
    measurement
}

#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod tests;
