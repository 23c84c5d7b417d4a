//! What runs leave behind as files: the last result of each dataset, and the record of what was destroyed.

pub mod record;
pub mod results;
