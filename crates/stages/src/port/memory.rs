//! The ports in memory: for tests, the demo of one process, and wherever durability is not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use domain::evidence::Text;
use domain::model::Signature;
use domain::name::{AttemptId, Digest, ModelName, StreamId, TargetId};
use domain::routes::RouteTable;
use domain::time::Timestamp;
use domain::work::GatewayObserved;

use super::{Endpoint, Routers, RoutersError, Serving, ServingError};

/// Referrers in a map.
#[derive(Debug, Default)]
pub struct Referrers(Mutex<BTreeMap<Digest, Vec<Digest>>>);

impl super::Referrers for Referrers {
    fn add(&self, subject: Digest, referrer: Digest) -> io::Result<()> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(subject).or_default();
        if !known.contains(&referrer) {
            known.push(referrer);
        }
        Ok(())
    }

    fn of(&self, subject: Digest) -> io::Result<Vec<Digest>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.get(&subject).cloned().unwrap_or_default())
    }
}

/// One gateway that obeys at once, heard at the beginning of time.
#[derive(Debug, Default)]
pub struct Gateway(Mutex<BTreeMap<TargetId, RouteTable>>);

impl Gateway {
    /// The table that it obeys.
    pub fn table(&self, target: &TargetId) -> Option<RouteTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned()
    }
}

impl Routers for Gateway {
    fn apply(&self, table: &RouteTable) -> Result<Vec<GatewayObserved>, RoutersError> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.entry(table.target.clone()).or_insert_with(|| table.clone());
        if table.generation > known.generation {
            *known = table.clone();
        }
        drop(tables);
        self.observed(&table.target)
    }

    fn observed(&self, target: &TargetId) -> Result<Vec<GatewayObserved>, RoutersError> {
        let observed = |table: RouteTable| GatewayObserved {
            gateway: "memory".into(),
            generation: table.generation,
            override_to: None,
            killed: vec![],
            heard_at: Timestamp::default(),
        };
        Ok(self.table(target).map(observed).into_iter().collect())
    }
}

/// A model server that takes every model and answers nowhere: for work that does not infer.
#[derive(Debug, Default)]
pub struct Server(Mutex<BTreeMap<StreamId, Keeps>>);

#[derive(Debug, Default)]
struct Keeps {
    attempt: u32,
    bundles: BTreeSet<(ModelName, Digest)>,
}

impl Server {
    /// Changes what an owner keeps, unless a later attempt of it was here. `how` is told what is loaded.
    fn change(
        &self,
        by: &AttemptId,
        how: impl FnOnce(&mut BTreeSet<(ModelName, Digest)>, &BTreeSet<(ModelName, Digest)>),
    ) -> Result<(), ServingError> {
        let mut keepers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded(&keepers);
        let keeps = keepers.entry(by.owner.clone()).or_default();
        if by.number < keeps.attempt {
            return Err(ServingError::Superseded(format!("attempt {} was here", keeps.attempt).into()));
        }
        keeps.attempt = by.number;
        how(&mut keeps.bundles, &loaded);
        Ok(())
    }
}

/// What anybody keeps.
fn loaded(keepers: &BTreeMap<StreamId, Keeps>) -> BTreeSet<(ModelName, Digest)> {
    keepers.values().flat_map(|keeps| keeps.bundles.iter().cloned()).collect()
}

impl Serving for Server {
    fn name(&self) -> Text {
        "memory".into()
    }

    fn load(
        &self,
        by: &AttemptId,
        model: &ModelName,
        bundle: Digest,
        _onnx: &[u8],
        _signature: &Signature,
    ) -> Result<Endpoint, ServingError> {
        self.change(by, |bundles, _| bundles.extend([(model.clone(), bundle)]))?;
        let (url, version) = ("http://127.0.0.1:9".to_owned(), Some(bundle.to_string()));
        Ok(Endpoint { url, model: model.to_string(), version })
    }

    fn keep(&self, by: &AttemptId, model: &ModelName, wanted: &[Digest]) -> Result<(), ServingError> {
        self.change(by, |bundles, loaded| {
            bundles.retain(|(of, _)| of != model);
            bundles.extend(loaded.iter().filter(|(of, it)| of == model && wanted.contains(it)).cloned());
        })
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        let keepers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(loaded(&keepers).into_iter().collect())
    }
}
