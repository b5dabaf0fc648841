//! What changes against the live release. Where one side is silent, the answer is `unknown`.

use domain::evidence::{Change, ChangeVector};
use domain::model::{Release, Trained};
use engine::port::blobs::{self, Blobs};

use crate::bundle::{BundleError, Lineage, read_lineage};
use crate::trouble::Trouble;

pub(super) fn against(
    blobs: &dyn Blobs,
    live: Option<&Release>,
    trained: &Trained,
) -> Result<ChangeVector, Trouble> {
    let Some(live) = live else { return Ok(ChangeVector::default()) };
    match read_lineage(blobs, live.bundle) {
        Ok((_, lineage)) => Ok(between(&lineage, &Lineage::of(trained))),
        // A live bundle that was swept, or that was adopted and never packed here, says nothing.
        Err(BundleError::Blobs(blobs::Error::Missing(_)) | BundleError::NotABundle(_)) => {
            Ok(ChangeVector::default())
        }
        Err(source) => Err(Trouble::Bundle { bundle: live.bundle, source: Box::new(source) }),
    }
}

fn between(live: &Lineage, candidate: &Lineage) -> ChangeVector {
    ChangeVector {
        model: Change::between(Some(&live.artifact), Some(&candidate.artifact)),
        code: Change::between(code(live).as_ref(), code(candidate).as_ref()),
        data: Change::between(data(live).as_ref(), data(candidate).as_ref()),
        features: Change::between(features(live).as_ref(), features(candidate).as_ref()),
        config: Change::between(config(live), config(candidate)),
        runtime: Change::between(runtime(live).as_ref(), runtime(candidate).as_ref()),
    }
}

/// A commit with changes on top of it names no code.
fn code(lineage: &Lineage) -> Option<(&Option<String>, &String)> {
    let commit = lineage.code.commit.as_ref()?;
    (lineage.code.dirty != Some(true)).then_some((&lineage.code.repo, commit))
}

/// The rows count too: the same file, filtered differently, is other data.
fn data(lineage: &Lineage) -> Option<Vec<(&String, Option<u64>)>> {
    let sets = lineage.data.iter().map(|set| Some((set.sha256.as_ref()?, set.rows)));
    let sets: Option<Vec<_>> = sets.collect();
    sets.filter(|sets| !sets.is_empty())
}

fn features(lineage: &Lineage) -> Option<(&String, &Option<String>)> {
    Some((lineage.features.view.as_ref()?, &lineage.features.schema_version))
}

fn config(lineage: &Lineage) -> Option<&Vec<(String, String)>> {
    Some(&lineage.hyperparameters).filter(|known| !known.is_empty())
}

fn runtime(lineage: &Lineage) -> Option<(&Option<String>, &Option<String>)> {
    let environment = &lineage.environment;
    let known = environment.lock_sha256.is_some() || environment.image_digest.is_some();
    known.then_some((&environment.lock_sha256, &environment.image_digest))
}
