//! Frames and messages: what is checked, what is ignored, and that nothing a peer sends makes a mess.

use proptest::prelude::*;

use super::*;
use zfs::name::{Guid, Txg};

#[test]
fn headers_survive_and_are_checked() {
    for (kind, limit) in [
        (FrameKind::Request, MAX_CONTROL),
        (FrameKind::Data, MAX_DATA),
        (FrameKind::End, 0),
        (FrameKind::Abort, 0),
        (FrameKind::Reply, MAX_CONTROL),
        (FrameKind::Ping, 0),
    ] {
        let header = Header { kind, len: limit };
        assert_eq!(Header::decode(header.encode()).unwrap(), header);
        let too_long = Header { kind, len: limit + 1 }.encode();
        assert!(matches!(Header::decode(too_long), Err(WireError::TooLong { len, .. }) if len == limit + 1));
    }
    assert!(matches!(Header::decode([0, 0, 0, 0, 9, 0, 0, 0]), Err(WireError::Kind(9))));
    assert!(matches!(Header::decode([0, 0, 0, 0, 2, 0, 1, 0]), Err(WireError::Damaged)));
}

#[test]
fn an_end_between_frames_is_no_error_but_one_within_is() {
    assert_eq!(Header::read(&mut &b""[..]).unwrap(), None);
    assert!(matches!(Header::read(&mut &b"\0\0\0"[..]), Err(WireError::Io(_))));
}

#[test]
fn fields_of_a_newer_peer_are_ignored_and_older_ones_left_out() {
    let newer = br#"{"verb":"receive","id":7,"receive":{"dataset":"b/x","kind":"volume","brings":"snapshots","colour":"red"},"more":[]}"#;
    let request: Request = read_body(&mut &newer[..], newer.len()).unwrap();
    let Request::Receive { id: 7, receive } = request else { panic!("{request:?}") };
    assert!(!receive.create && !receive.top && !receive.into_empty && receive.ancestors.is_empty());
    let reply: Reply = serde_json::from_str(r#"{"answer":"done","id":1}"#).unwrap();
    assert_eq!(reply, Reply::Done { id: 1, failure: None, warning: None });
}

#[test]
fn a_name_that_zfs_would_refuse_is_refused() {
    for (verb, name) in
        ["-r", "b/../x", "b@s", "", "b/x;reboot"].iter().flat_map(|name| [("probe", name), ("tree", name)])
    {
        let body = format!(r#"{{"verb":"{verb}","id":1,"dataset":{name:?}}}"#);
        assert!(
            matches!(read_body::<Request>(&mut body.as_bytes(), body.len()), Err(WireError::Json(_))),
            "{verb} {name:?}"
        );
    }
}

#[test]
fn a_message_that_is_too_long_is_not_sent() {
    let mut output = Vec::new();
    let request = Request::Ask { id: 1, names: vec!["x".repeat(MAX_CONTROL)] };
    let written = write_message(&mut output, FrameKind::Request, &request);
    assert!(matches!(written, Err(WireError::TooLong { .. })));
    assert!(output.is_empty());
}

#[test]
fn the_longest_answers_fit_into_a_frame() {
    let found = vec![(u32::MAX, Guid(u64::MAX), Txg(u64::MAX)); MAX_NAMES];
    write_message(&mut io::sink(), FrameKind::Reply, &Reply::Found { id: u64::MAX, found }).unwrap();
}

proptest! {
    #[test]
    fn any_header_gives_a_result(bytes: [u8; HEADER]) {
        if let Ok(header) = Header::decode(bytes) {
            prop_assert!(header.len <= header.kind.limit());
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn any_body_gives_a_result(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_body::<Request>(&mut &body[..], body.len());
        let _ = read_body::<Reply>(&mut &body[..], body.len() + 1);
    }
}

#[test]
fn more_values_than_anybody_sends_are_not_even_parsed() {
    let body = format!(r#"{{"answer":"names","id":1,"datasets":[{}"p"]}}"#, r#""p","#.repeat(MAX_VALUES));
    let read = read_body::<Reply>(&mut body.as_bytes(), body.len());
    assert!(matches!(read, Err(WireError::TooMany { limit: MAX_VALUES, .. })), "{read:?}");
    // The largest that is sent on purpose.
    let found = (0..u32::try_from(MAX_NAMES).unwrap()).map(|at| (at, Guid(u64::MAX), Txg(u64::MAX))).collect();
    let mut bytes = Vec::new();
    write_message(&mut bytes, FrameKind::Reply, &Reply::Found { id: 1, found }).unwrap();
    assert!(read_body::<Reply>(&mut &bytes[HEADER..], bytes.len() - HEADER).is_ok());
}
