//! The planner against cases from other tools, and against a model of two ZFS sides with random histories.

mod cases;
mod cures;
mod histories;
mod offers;
mod rests;
mod scale;
mod skip;
mod trees;
mod words;
