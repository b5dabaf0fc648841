//! The gateway's way to the model server of the same process: a function call.

use gateway::{Ask, Call, Direct, Fault, Reply};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::StatusCode;
use model_server::{CallError, Server};

/// Small models answer in microseconds, so they answer on the thread that asks.
pub fn of(server: Server) -> Direct {
    Direct::new(move |call| answer(&server, call))
}

fn answer(server: &Server, call: &Call) -> Result<Reply, Fault> {
    let (model, version) = (call.model.as_str(), &*call.version);
    let answer = match &call.ask {
        Ask::Infer(body) => server.infer_json(model, Some(version), body).map(Bytes::from),
        Ask::Metadata | Ask::Ready => server.find(model, Some(version)).map(|loaded| {
            let metadata = serde_json::json!({
                "name": model,
                "versions": [version],
                "platform": "onnx",
                "inputs": loaded.signature().inputs,
                "outputs": loaded.signature().outputs,
            });
            Bytes::from(metadata.to_string())
        }),
    };
    match answer {
        Ok(body) => Ok(reply(StatusCode::OK, body)),
        Err(CallError::ModelUnknown { .. } | CallError::VersionUnknown { .. }) => Err(Fault::Gone),
        Err(error) => {
            let body = serde_json::json!({ "error": error.to_string(), "code": error.code() });
            Ok(reply(error.http_code(), Bytes::from(body.to_string())))
        }
    }
}

fn reply(status: StatusCode, body: Bytes) -> Reply {
    Reply { status, content_type: Some(HeaderValue::from_static("application/json")), body }
}
