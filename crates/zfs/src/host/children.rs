//! The names right below a dataset, for whoever types one.

use super::local::LocalHost;
use super::run::run;
use crate::Failure;
use crate::command::read_names;
use crate::name::DatasetName;

impl LocalHost {
    /// A dataset and those one level below it; without one, the pools.
    pub fn children(&self, parent: Option<&DatasetName>) -> Result<Vec<DatasetName>, Failure> {
        run(self.zfs()?.list_children(parent), read_names)
    }
}
