//! Tokens of all kinds, and forged ones.

use proptest::prelude::*;

use super::*;

fn token() -> Token {
    Token {
        to_guid: Guid(0x71d3_bcb8_3ee8_f1c5),
        to_name: "p/a b@s  1".into(),
        from_guid: Some(Guid(7)),
        object: 2,
        offset: 0x40000,
        bytes: 0x55f8,
        large_blocks: true,
        embedded: true,
        compressed: true,
        raw: true,
    }
}

/// The list of a token, to be forged.
fn pairs() -> Vec<(&'static str, Value)> {
    vec![
        ("fromguid", Value::U64(7)),
        ("object", Value::U64(2)),
        ("offset", Value::U64(0x40000)),
        ("bytes", Value::U64(0x55f8)),
        ("toguid", Value::U64(0x71d3_bcb8_3ee8_f1c5)),
        ("toname", Value::String("p/a b@s  1".into())),
        ("largeblockok", Value::Boolean),
        ("embedok", Value::Boolean),
        ("compressok", Value::Boolean),
        ("rawok", Value::Boolean),
    ]
}

fn forged(pairs: &[(&str, Value)]) -> Result<Token, TokenError> {
    Token::decode(&pack(&nvlist::encode(pairs, Order::Little), Order::Little))
}

fn damaged(token: &str) -> bool {
    matches!(Token::decode(&ResumeToken(token.into())), Err(Damaged(_)))
}

#[test]
fn every_field_is_read() {
    assert_eq!(forged(&pairs()), Ok(token()));
    // Of a machine with the other byte order.
    assert_eq!(Token::decode(&pack(&nvlist::encode(&pairs(), Order::Big), Order::Big)), Ok(token()));
    let full = forged(&pairs()[1..6]).unwrap();
    assert_eq!(
        (full.from_guid, full.large_blocks, full.embedded, full.compressed, full.raw),
        (None, false, false, false, false)
    );
    let mut zero = pairs();
    zero[0].1 = Value::U64(0);
    assert_eq!(forged(&zero).unwrap().from_guid, None);
}

#[test]
fn a_rebuilt_token_has_our_name_and_the_checked_fields() {
    let rebuilt = Token::decode(&token().encode("q/renamed@s")).unwrap();
    assert_eq!(rebuilt, Token { to_name: "q/renamed@s".into(), ..token() });
}

#[test]
fn a_key_can_not_be_smuggled_in() {
    // With a line feed in its name it looked like another key where the output of zfs was read.
    for key in ["x\nrawok", "x\n\trawok = 1\n\ttoguid", "rawok ", "RAWOK", "rawok2", "\u{1b}[2J"] {
        let mut pairs = pairs();
        pairs[9].0 = key;
        let error = forged(&pairs).unwrap_err();
        assert!(matches!(&error, Unknown(_)), "{key:?}: {error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
    }
    let mut plain = pairs();
    plain.pop();
    assert!(!forged(&plain).unwrap().raw);
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    for again in pairs() {
        let mut pairs = pairs();
        pairs.push(again);
        assert_eq!(forged(&pairs), Err(Damaged("a key is there twice")));
    }
}

#[test]
fn a_key_of_another_type_is_refused() {
    for at in 0..pairs().len() {
        for value in [Value::Boolean, Value::U64(1), Value::String("1".into())] {
            let mut pairs = pairs();
            if std::mem::discriminant(&pairs[at].1) == std::mem::discriminant(&value) {
                continue;
            }
            pairs[at].1 = value;
            assert_eq!(forged(&pairs), Err(Damaged("a key has a value of another type")), "{}", pairs[at].0);
        }
    }
}

#[test]
fn a_key_that_is_missing_is_told() {
    for at in 1..6 {
        let mut pairs = pairs();
        pairs.remove(at);
        assert_eq!(forged(&pairs), Err(Damaged("a key is missing")));
    }
}

#[test]
fn what_a_newer_zfs_may_mean_is_told_apart_from_damage() {
    for key in FOREIGN.into_iter().chain(["something_new"]) {
        let mut pairs = pairs();
        pairs.push((key, Value::Boolean));
        let error = forged(&pairs).unwrap_err();
        assert!(matches!(&error, Unknown(words) if words.contains(key)), "{error}");
    }
    let newer = token().encode("p/a@s").0.replacen("1-", "2-", 1);
    assert_eq!(
        Token::decode(&ResumeToken(newer)).unwrap_err().to_string(),
        "its resume token has the version 2, which this zfsync doesn't know"
    );
}

#[test]
fn damaged_tokens_are_refused() {
    let good = token().encode("p/a@s").0;
    let parts: Vec<&str> = good.splitn(4, '-').collect();
    let [_, sum, size, hex] = parts[..] else { unreachable!() };
    assert!(Token::decode(&ResumeToken(good.clone())).is_ok());
    for bad in [
        String::new(),
        "1-".into(),
        "1-2-3".into(),
        "-1-2-3-4".into(),
        format!("x-{sum}-{size}-{hex}"),
        format!("1-0-{size}-{hex}"),
        format!("1-+{sum}-{size}-{hex}"),
        format!("1-{sum}-0-{hex}"),
        format!("1-{sum}-1-{hex}"),
        format!("1-{sum}-{size}0-{hex}"),
        format!("1-{sum}-{size}-{hex}0"),
        format!("1-{sum}-{size}-{hex}-{hex}"),
        format!("1-{sum}-{size}-{hex} "),
        format!("1-{sum}-{size}-{}", &hex[2..]),
        format!("1-{sum}-{size}-ä{hex}"),
        format!("1-{sum}-{size}-"),
        format!("1-0-0-"),
    ] {
        assert!(damaged(&bad), "{bad}");
    }
}

#[test]
fn sizes_have_limits() {
    for size in ["ffffffffffffffff", "4001"] {
        let error = Token::decode(&ResumeToken(format!("1-0-{size}-78")));
        assert!(matches!(error, Err(Unknown(_))), "{error:?}");
    }
    assert!(damaged("1-0-10000000000000000-78"));
    let error = Token::decode(&ResumeToken(format!("1-0-10-{}", "00".repeat(MAX_SIZE + 1))));
    assert!(matches!(error, Err(Unknown(_))), "{error:?}");
    // A bomb says that it is small.
    let bomb = pack(&vec![0; 1 << 24], Order::NATIVE).0;
    let parts: Vec<&str> = bomb.splitn(4, '-').collect();
    let said = format!("1-{}-100-{}", parts[1], &parts[3]);
    assert!(Token::decode(&ResumeToken(said)).is_err());
}

#[test]
fn nothing_may_hang_on_behind_the_compressed_list() {
    let list = nvlist::encode(&pairs(), Order::NATIVE);
    let mut compressed = compress_to_vec_zlib(&list, LEVEL);
    compressed.extend([0; 4]);
    let hex: String = compressed.iter().map(|byte| format!("{byte:02x}")).collect();
    let sum = fletcher(&compressed, Order::NATIVE);
    assert!(damaged(&format!("1-{sum:x}-{:x}-{hex}", list.len())));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}", digits in "1-[0-9a-f]{1,16}-[0-9a-f]{1,4}-[0-9a-f]{0,300}") {
        let _ = Token::decode(&ResumeToken(text));
        let _ = Token::decode(&ResumeToken(digits));
    }

    #[test]
    fn whatever_is_understood_is_rebuilt_the_same(changed in proptest::collection::vec((0_usize..500, any::<u8>()), 0..3)) {
        let mut list = nvlist::encode(&pairs(), Order::NATIVE);
        for (at, to) in changed {
            let at = at % list.len();
            list[at] = to;
        }
        if let Ok(read) = Token::decode(&pack(&list, Order::NATIVE)) {
            prop_assert_eq!(Token::decode(&read.encode("p/x@y")), Ok(Token { to_name: "p/x@y".into(), ..read }));
        }
    }
}
