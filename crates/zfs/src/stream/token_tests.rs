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
        assert_eq!(forged(&pairs), Err(Damaged("a key occurs twice")));
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
        "its resume token has the version 2, which this version of zfsync doesn't know"
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
        "1-0-0-".into(),
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
    let hex: String = compressed.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect();
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

/// Tokens of OpenZFS 2.3.9 (x86_64).
const REAL: [(&str, u64, Option<u64>, &str, bool); 3] = [
    (
        "1-c4e2ff633-f0-789c636064000310a500c4ec50360710e72765a52697303030419460caa7a515a796806444e0f26c48f2499525a9c5403a435c0cabfe92fcf4d2cc1406867d65b2ed8b274c98a98124cf0996cf4bcc4d6560482cc8cfcfd12fc9cf7648049b2301d50f73776a6e526a4a7e36d87c6e24f1e4fcdc82a2d4e262a0141c000092481db2",
        0x9990_90a3_871d_76be,
        None,
        "apool/tok@a",
        false,
    ),
    (
        "1-cf484a629-f0-789c636064000310a500c4ec50360710e72765a52697303030419460caa7a515a796806444e0f26c48f2499525a9c540da44560cabfe92fcf4d2cc1406864075a9b38bf616cb6a20c97382e5f31273531918120bf2f373f453f3921d12e1e6703320dc9d9c9f5b50945a5c9c9f0d119380ba03265f94580e936200001bbc1bd1",
        0x1d73_bda2_cd1a_2751,
        None,
        "apool/enc@a",
        true,
    ),
    (
        "1-12df7e99a0-118-789c636064000310a501c49c50360710a715e5e7a69766a63040c1be32d9f6c51326cc5400b2d991d4e52765a5269730303043d561c8a7a515a796806444e0f26c48f2499525a9c5403a405c0cabfe927c882bb62f38e2ff36e2fc3f0d24794eb07c5e626e2a034362417e7e8e7e497eb643924232505c02aa1fe6bfd4dca4d494fc6cb0f9dc48e2c9f9b90545a9c5c540293800007e132732",
        0xfecf_58ed_4fc4_a0b7,
        Some(0x9990_90a3_871d_76be),
        "apool/tok@b c",
        false,
    ),
];

#[test]
fn real_tokens_are_read_and_rebuilt() {
    for (text, to_guid, from_guid, to_name, raw) in REAL {
        let token = Token::decode(&ResumeToken(text.into())).unwrap();
        assert_eq!((token.to_guid, token.from_guid), (Guid(to_guid), from_guid.map(Guid)));
        assert_eq!((token.to_name.as_str(), token.raw, token.compressed), (to_name, raw, true));
        assert_eq!((token.offset, token.embedded, token.large_blocks), (0x14_0000, !raw, false));
        if Order::NATIVE == Order::Little {
            // To the byte what the kernel has packed.
            let rebuilt = token.encode(to_name).0;
            assert_eq!(unpack(&rebuilt).unwrap(), unpack(text).unwrap());
        }
    }
}
