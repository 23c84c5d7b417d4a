//! The planner against cases from other tools, and against a model of two ZFS sides with random histories.

mod cases;
mod contact;
mod histories;
mod offers;
mod partial;
mod resolutions;
mod scale;
mod shorthand;
mod skip;
mod swapped;
mod trees;
