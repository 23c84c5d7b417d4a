//! What `zfs` prints: listings, facts, features, objects, reports and complaints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zfs::{
    Estimate, Refusal, disabled_features, read_creations, read_facts, read_names, read_notes, read_pinned,
    read_reclaimed, read_source, read_states, read_written, user_objects,
};

fuzz_target!(|bytes: &[u8]| {
    let source = "p/s".parse().expect("a legal name");
    let _ = read_source(bytes, &source);
    let _ = read_facts(bytes);
    let _ = disabled_features(bytes);
    let _ = user_objects(bytes);
    let _ = read_creations(bytes);
    let _ = read_names(bytes);
    let _ = read_notes(bytes);
    let _ = read_pinned(bytes);
    let _ = read_reclaimed(bytes);
    let _ = read_states(bytes);
    let _ = read_written(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = Refusal::from_words(&text);
    let mut estimate = Estimate::default();
    for line in text.split('\n') {
        estimate.add(line);
    }
});
