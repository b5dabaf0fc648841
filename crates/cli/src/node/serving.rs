//! A model server of this process, as the workers' port.

use std::net::SocketAddr;

use domain::evidence::Text;
use domain::model::Signature;
use domain::name::{Digest, ModelName};
use model_server::{Datatype, LoadError, Server, Tensor};
use stages::port::{Endpoint, Serving, ServingError};

/// Releases are loaded under their bundle's digest as version.
#[derive(Debug)]
pub struct InProcess {
    name: Text,
    server: Server,
    url: String,
}

impl InProcess {
    pub fn new(name: &str, server: Server, address: SocketAddr) -> Self {
        Self { name: name.into(), server, url: format!("http://{address}") }
    }
}

impl Serving for InProcess {
    fn name(&self) -> Text {
        self.name.clone()
    }

    fn load(
        &self,
        model: &ModelName,
        bundle: Digest,
        onnx: &[u8],
        signature: &Signature,
    ) -> Result<Endpoint, ServingError> {
        let declared = signature_of(signature)?;
        let loaded = self.server.load(model.as_str(), &bundle.hex(), onnx, declared.as_ref());
        loaded.map_err(|error| refused(&error))?;
        let (url, model) = (self.url.clone(), model.to_string());
        Ok(Endpoint { url, model, version: Some(bundle.hex()) })
    }

    fn unload(&self, model: &ModelName, bundle: Digest) -> Result<(), ServingError> {
        self.server.unload(model.as_str(), &bundle.hex());
        Ok(())
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        let loaded = self.server.loaded();
        let named = loaded.iter().filter_map(|loaded| {
            Some((ModelName::parse(&loaded.model).ok()?, Digest::parse(&loaded.version).ok()?))
        });
        Ok(named.collect())
    }
}

fn refused(error: &LoadError) -> ServingError {
    let hint = error.hint();
    ServingError::Refused { code: error.code().into(), text: format!("{error}; hint: {hint}").into() }
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
