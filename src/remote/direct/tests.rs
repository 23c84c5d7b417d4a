use std::io::{BufReader, Write as _};

use super::service::{read_order, unwanted};
use super::*;
use crate::remote::greeting::Timed;

fn heard(bytes: &[u8]) -> Result<Order, String> {
    let (ours, mut theirs) = io::pipe().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || {
        // Who has read enough reads no more.
        let _ = theirs.write_all(&bytes);
    });
    let order = read_order(&mut BufReader::new(Timed::new(ours.into(), Duration::from_secs(20))));
    writing.join().unwrap();
    order
}

#[test]
fn an_order_is_one_line() {
    let order = Order { source: "p".into(), target: "b:q".into(), ..Order::default() };
    let said = line(&order).unwrap();
    assert_eq!(heard(&said), Ok(order.clone()));
    assert!(heard(&said[..said.len() - 1]).unwrap_err().contains("cut"));
    assert!(heard(b"\n").is_err());
    let long = Order { include: vec!["x".repeat(MAX_ORDER)], ..order };
    assert!(heard(&line(&long).unwrap()).unwrap_err().contains("a line of more than"));
}

#[test]
fn a_push_that_has_ended_is_not_told_to_end_again() {
    use std::sync::atomic::{AtomicBool, Ordering};
    for (ends, times) in [(true, 1), (false, 2)] {
        let (over, mut raised) = (AtomicBool::new(false), 0);
        unwanted(&over, Duration::ZERO, |_| {
            raised += 1;
            over.store(ends, Ordering::Relaxed);
        });
        assert_eq!(raised, times);
    }
}

#[test]
fn lines_have_a_limit_and_an_end() {
    let mut seen = Vec::new();
    let mut next = |bytes: &[u8]| read_line(&mut &*bytes, &mut seen, 4).map_err(|error| error.kind());
    assert_eq!(next(b"abc\nd"), Ok(true));
    assert_eq!(next(b"abcd"), Ok(false));
    assert_eq!(next(b""), Ok(false));
    assert_eq!(next(b"abcd\n"), Err(io::ErrorKind::InvalidData));
}
