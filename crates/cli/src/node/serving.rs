//! A model server of this process, as the workers' port.

use std::net::SocketAddr;

use domain::evidence::Text;
use domain::model::Signature;
use domain::name::{AttemptId, Digest, ModelName};
use model_server::{Datatype, KeepError, Keeper, Kept, Server, Superseded, Tensor};
use stages::port::{Endpoint, Serving, ServingError};

/// Releases are loaded under their bundle's digest as version.
#[derive(Debug)]
pub struct InProcess {
    name: Text,
    kept: Kept,
    url: String,
}

impl InProcess {
    pub fn new(name: &str, server: Server, address: SocketAddr) -> Self {
        Self { name: name.into(), kept: Kept::new(server), url: format!("http://{address}") }
    }
}

impl Serving for InProcess {
    fn name(&self) -> Text {
        self.name.clone()
    }

    fn load(
        &self,
        by: &AttemptId,
        model: &ModelName,
        bundle: Digest,
        onnx: &[u8],
        signature: &Signature,
    ) -> Result<Endpoint, ServingError> {
        let declared = signature_of(signature)?;
        let owner = by.owner.to_string();
        let by = Keeper { name: &owner, attempt: by.number };
        let loaded = self.kept.load(by, model.as_str(), &bundle.hex(), onnx, declared.as_ref());
        loaded.map_err(|error| refused(&error))?;
        let (url, model) = (self.url.clone(), model.to_string());
        Ok(Endpoint { url, model, version: Some(bundle.hex()) })
    }

    fn keep(&self, by: &AttemptId, model: &ModelName, bundles: &[Digest]) -> Result<(), ServingError> {
        let (owner, versions) = (by.owner.to_string(), bundles.iter().map(Digest::hex).collect::<Vec<_>>());
        let by = Keeper { name: &owner, attempt: by.number };
        let kept = self.kept.keep(by, model.as_str(), versions.iter().map(String::as_str));
        kept.map_err(|error| superseded(&error))
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        let loaded = self.kept.server().loaded();
        let named = loaded.iter().filter_map(|loaded| {
            Some((ModelName::parse(&loaded.model).ok()?, Digest::parse(&loaded.version).ok()?))
        });
        Ok(named.collect())
    }
}

fn refused(error: &KeepError) -> ServingError {
    match error {
        KeepError::Superseded(error) => superseded(error),
        KeepError::Load(error) => {
            let text = format!("{error}; hint: {}", error.hint());
            ServingError::Refused { code: error.code().into(), text: text.into() }
        }
    }
}

fn superseded(error: &Superseded) -> ServingError {
    ServingError::Superseded(error.to_string().into())
}

/// Nothing when training declared none: what the model says of itself counts then.
fn signature_of(signature: &Signature) -> Result<Option<model_server::Signature>, ServingError> {
    if signature.inputs.is_empty() && signature.outputs.is_empty() {
        return Ok(None);
    }
    let tensors = |tensors: &[domain::model::Tensor]| {
        tensors
            .iter()
            .map(|tensor| {
                let datatype = Datatype::named(&tensor.datatype).ok_or_else(|| ServingError::Refused {
                    code: "DATATYPE_UNSUPPORTED".into(),
                    text: format!(
                        "tensor `{}` is {}, which this server does not know",
                        tensor.name, tensor.datatype
                    )
                    .into(),
                })?;
                Ok(Tensor { name: tensor.name.to_string(), datatype, shape: tensor.shape.clone() })
            })
            .collect::<Result<Vec<_>, ServingError>>()
    };
    Ok(Some(model_server::Signature {
        inputs: tensors(&signature.inputs)?,
        outputs: tensors(&signature.outputs)?,
    }))
}

#[cfg(test)]
mod tests {
    use domain::model::Tensor;
    use model_server::Limits;
    use stages::port::suite::{self, Sample};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_server_of_this_process_keeps_the_contract() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(Limits { model_bytes_max: 1 << 20, ..Limits::default() });
        let serving = InProcess::new("embedded", server.clone(), address);
        runtime.spawn(async move { server.serve(listener, std::future::pending()).await });
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model-server/fixtures/logistic.onnx");
        let tensor = |name: &str, datatype: &str, shape: &[i64]| Tensor {
            name: name.into(),
            datatype: datatype.into(),
            shape: shape.to_vec(),
        };
        let outputs = vec![tensor("probability", "FP32", &[-1, 1]), tensor("label", "INT64", &[-1])];
        let sample = Sample {
            onnx: std::fs::read(path).unwrap(),
            signature: Signature { inputs: vec![tensor("x", "FP32", &[-1, 4])], outputs },
            too_large: (1 << 20) + 1,
        };
        suite::serving(&serving, &sample);
    }
}
