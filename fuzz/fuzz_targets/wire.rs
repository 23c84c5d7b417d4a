//! Frames from a peer: headers and control bodies.
#![no_main]

use helper::wire::{FrameKind, Header, Reply, Request, read_body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = bytes;
    while let Ok(Some(header)) = Header::read(&mut input) {
        let read = match header.kind {
            FrameKind::Request => read_body::<Request>(&mut input, header.len).is_ok(),
            FrameKind::Reply => read_body::<Reply>(&mut input, header.len).is_ok(),
            FrameKind::Data | FrameKind::End | FrameKind::Abort | FrameKind::Ping => {
                input = input.get(header.len..).unwrap_or_default();
                true
            }
        };
        if !read {
            return;
        }
    }
});
