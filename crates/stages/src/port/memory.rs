//! The ports in memory: for tests, the demo of one process, and wherever durability is not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use domain::evidence::Text;
use domain::model::Signature;
use domain::name::{Digest, ModelName, TargetId};
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
pub struct Server(Mutex<BTreeSet<(ModelName, Digest)>>);

impl Serving for Server {
    fn name(&self) -> Text {
        "memory".into()
    }

    fn load(
        &self,
        model: &ModelName,
        bundle: Digest,
        _onnx: &[u8],
        _signature: &Signature,
    ) -> Result<Endpoint, ServingError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((model.clone(), bundle));
        let (url, version) = ("http://127.0.0.1:9".to_owned(), Some(bundle.to_string()));
        Ok(Endpoint { url, model: model.to_string(), version })
    }

    fn unload(&self, model: &ModelName, bundle: Digest) -> Result<(), ServingError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(model.clone(), bundle));
        Ok(())
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect())
    }
}
