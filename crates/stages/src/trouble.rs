//! What keeps a worker from telling. Never the model's fault: that is a finding.

use domain::name::{Digest, Environment};
use domain::time::Millis;
use domain::work::Outcome;
use engine::port::{blobs, predictions};

use crate::bundle::BundleError;
use crate::port::{RoutersError, ServingError};

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("the attempt was cancelled")]
    Cancelled,
    #[error("failed to use the blob store")]
    Blobs(#[from] blobs::Error),
    #[error("failed to read the prediction log")]
    Predictions(#[from] predictions::Error),
    #[error("failed to note what speaks of bundle {subject}")]
    Referrers {
        subject: Digest,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to fetch {what} from `{uri}`")]
    Fetch {
        what: &'static str,
        uri: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("failed to read bundle {bundle}")]
    Bundle {
        bundle: Digest,
        #[source]
        source: Box<BundleError>,
    },
    #[error("expected to sign the bundle, but no signing key is configured")]
    NoSigningKey,
    #[error("expected a model server in environment `{0}`, but none is configured")]
    NoServer(Environment),
    #[error("failed to use model server `{server}`")]
    Serving {
        server: String,
        #[source]
        source: ServingError,
    },
    #[error(
        "expected model server `{server}` to have the bundle loaded until its tests end, but it was gone before; hint: the server was restarted, or somebody else unloaded it"
    )]
    Unloaded { server: String },
    #[error("failed to call `{url}`")]
    Call {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("expected the model server to have room, but it is overloaded")]
    Overloaded,
    #[error("failed to use the gateways")]
    Routers(#[from] RoutersError),
    #[error("expected a gateway to obey the table, but none was heard")]
    NoGateway,
    #[error("failed to tell `{webhook}`")]
    Notify {
        webhook: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Trouble {
    /// Stable name of the kind of trouble.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Blobs(blobs::Error::Missing(_)) => "BLOB_MISSING",
            Self::Blobs(blobs::Error::Corrupt(_)) => "BLOB_CORRUPT",
            Self::Blobs(blobs::Error::Io(_)) => "BLOBS_UNREACHABLE",
            Self::Predictions(_) => "PREDICTIONS_UNREACHABLE",
            Self::Referrers { .. } => "REFERRERS_UNREACHABLE",
            Self::Fetch { .. } => "FETCH_FAILED",
            Self::Bundle { source, .. } => source.code(),
            Self::NoSigningKey => "SIGNING_KEY_MISSING",
            Self::NoServer(_) => "SERVER_MISSING",
            Self::Serving { source: ServingError::Superseded(_), .. } => "SUPERSEDED",
            Self::Serving { .. } | Self::Call { .. } => "SERVER_UNREACHABLE",
            Self::Unloaded { .. } => "BUNDLE_UNLOADED",
            Self::Overloaded => "SERVER_OVERLOADED",
            Self::Routers(_) => "GATEWAYS_UNREACHABLE",
            Self::NoGateway => "GATEWAY_MISSING",
            Self::Notify { .. } => "NOTIFY_FAILED",
        }
    }

    /// The text with its causes.
    pub fn words(&self) -> String {
        words(self)
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        let retry_after = match &self {
            Self::Overloaded => Some(Millis::seconds(1)),
            Self::Notify { .. } => Some(Millis::seconds(10)),
            _ => None,
        };
        Outcome::CouldNotTell { code: self.code().into(), reason: self.words().into(), retry_after }
    }
}

/// An error's text, followed by those of its causes.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
