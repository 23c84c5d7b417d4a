//! What those who answer a sender have in common: the host, where replies go, and what the helper may be asked.

use std::sync::Arc;

use super::replies::Replies;
use super::{Config, Side};
use crate::wire::Reply;
use zfs::name::DatasetName;
use zfs::record::Features;
use zfs::{Failure, Host, Receive, Refusal, permission};

/// Everything an answering thread needs.
#[derive(Clone)]
pub(super) struct Context {
    pub config: Arc<Config>,
    pub host: Arc<dyn Host>,
    pub replies: Arc<Replies>,
    /// Who the helper runs as.
    pub user: Arc<str>,
}

impl Context {
    /// Says what would have to be allowed, where zfs says only that something isn't.
    pub(super) fn explain(&self, failure: Failure, permissions: &str, dataset: &DatasetName) -> Failure {
        let grant = permission::grant(&self.user, &failure.words, permissions, dataset);
        self.explain_with(failure, grant, dataset)
    }

    /// The same where a dataset that is to hold others could not be created.
    pub(super) fn explain_missing(&self, failure: Failure, permissions: &str, missing: &DatasetName) -> Failure {
        let grant = permission::grant_below(&self.user, &failure.words, permissions, missing);
        self.explain_with(failure, grant, &missing.parent().unwrap_or_else(|| missing.clone()))
    }

    fn explain_with(&self, failure: Failure, grant: Option<String>, dataset: &DatasetName) -> Failure {
        if failure.refusal == Refusal::KeyNotLoaded {
            return self.name_the_key(failure, dataset);
        }
        let Some(grant) = grant.filter(|_| failure.refusal == Refusal::Permission) else { return failure };
        let host = match self.config.side {
            Side::Receiver => "target's",
            Side::Sender => "source's",
        };
        Failure { words: format!("{}\nroot on the {host} host{}{grant}", failure.words, permission::GRANT), ..failure }
    }

    /// Names the features that the pool lacks for a stream, where zfs says only that it must be upgraded.
    pub(super) fn name_features(&self, failure: Failure, receive: &Receive, stream: Features) -> Failure {
        if !matches!(failure.refusal, Refusal::Feature | Refusal::Invalid) {
            return failure;
        }
        let lacking = self.host.lacking(&receive.dataset, stream, receive.resumable);
        let advice = lacking.advice(receive.dataset.pool(), &self.host.hello().host);
        Failure { words: format!("{}{advice}", failure.words), ..failure }
    }

    /// Says whose key it is that isn't loaded, and how it is.
    fn name_the_key(&self, failure: Failure, dataset: &DatasetName) -> Failure {
        // A name outside of the helper's roots is nobody's business.
        let root = self.host.encryption_root(dataset).filter(|root| self.config.tells_of(root));
        let Some(root) = root else { return failure };
        let host = self.host.hello().host;
        let words = format!("{}\nthe key of '{root}' is not loaded on {host}: zfs load-key '{root}'", failure.words);
        Failure { words, ..failure }
    }
}

/// A request is through.
pub(super) fn done(id: u64, warning: Option<String>) -> Reply {
    Reply::Done { id, failure: None, warning }
}
