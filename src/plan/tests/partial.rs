//! Rests of cut receives: where they are gone on with.

use crate::plan::fixture;
use crate::plan::{Conflict, ConflictKind, ResumePoint, SourceDataset, TargetDataset, Verdict, diff};
use zfs::name::{Guid, ResumeToken, Txg};
use zfs::{Kind, Versions};

#[test]
fn a_cut_first_stream_goes_on_where_it_went() {
    let mut snapshots = Versions::default();
    for (name, number) in [("s1", 1), ("s2", 2)] {
        snapshots.push(&name.parse().unwrap(), Guid(number), Txg(number));
    }
    let source = SourceDataset { snapshots, ..SourceDataset::default() };
    let resume = Some(ResumePoint { token: ResumeToken("1-x".into()), to: Guid(1) });
    let target = |unborn, empty| TargetDataset {
        partial: true,
        resume: resume.clone(),
        unborn,
        empty,
        ..fixture::target(Versions::default())
    };
    let verdict = |target| diff(&source, Kind::Filesystem, &target, None, false);
    assert!(
        matches!(verdict(target(true, false)), Verdict::Send(steps) if steps[0].resume.is_some() && steps.len() == 2)
    );
    assert!(matches!(verdict(target(false, true)), Verdict::FillEmpty(steps) if steps[0].resume.is_some()));
    let conflict = verdict(target(false, false));
    assert!(matches!(conflict, Verdict::Conflict(Conflict { kind: ConflictKind::DataWithoutSnapshots, .. })));
}
