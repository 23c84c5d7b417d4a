//! `zfsync direct`: the end of `--direct` on the source's host. What there is to say goes over its session.

use super::Outcome;
use crate::error::StartError;
use crate::exec;

/// Carries one order out.
pub async fn direct() -> Result<Outcome, StartError> {
    exec::serve_direct().await.map(Outcome::new)
}
