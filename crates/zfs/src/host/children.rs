//! The names right below a dataset, for whoever types one, and what a host tells of itself.

use std::io::{self, Read as _};

use super::local::LocalHost;
use super::run::run;
use crate::command::read_names;
use crate::name::DatasetName;
use crate::{Failure, Zfs};

impl LocalHost {
    /// A dataset and those one level below it; without one, the pools.
    pub fn children(&self, parent: Option<&DatasetName>) -> Result<Vec<DatasetName>, Failure> {
        run(self.zfs()?.list_children(parent), read_names)
    }
}

impl Zfs {
    /// What a constant script of sh prints on the machine of this `zfs`, so many bytes at most; the words are its arguments.
    pub fn ask(&self, script: &str, words: &[String], most: u64) -> Result<String, Failure> {
        let mut call = self.script(script);
        call.arg("zfsync").args(words);
        run(call, |output| Ok(io::read_to_string(output.take(most))?))
    }
}
