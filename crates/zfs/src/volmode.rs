//! The device nodes of volumes that are received anew.

use serde::{Deserialize, Serialize};

/// What becomes of `volmode` (zfsprops(7)) on a new volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volmode {
    /// No device node, so that nothing on the host reads what is in it
    #[default]
    None,
    /// As the dataset above it says
    Inherit,
}
