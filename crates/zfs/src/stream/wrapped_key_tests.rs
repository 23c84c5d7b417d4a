use super::*;

use super::testing::{content, fields, packed, salted};

#[test]
#[cfg(target_endian = "little")]
fn what_zfs_packs_is_read() {
    // From `zfs send -w` of OpenZFS 2.3.9.
    let stream: Vec<u8> = STREAM.split_whitespace().flat_map(unhex).collect();
    let WrappedKey(values) = WrappedKey::read_first(&mut stream.as_slice()).unwrap();
    let number = |at: usize| if let Value::U64(number) = values[at] { number } else { panic!("{:?}", values[at]) };
    assert_eq!([number(0), number(1), number(2)], [8, 15_778_890_277_192_202_105, 1]);
    assert_eq!([number(7), number(8)], [3, 100_000]);
    let Value::Bytes(iv) = &values[5] else { panic!("{:?}", values[5]) };
    assert_eq!(iv[..4], [162, 16, 145, 213]);
    // What we pack is packed as ZFS does.
    let begin = Begin::read(stream[..SIZE].try_into().unwrap()).unwrap();
    let bytes = &stream[SIZE..];
    assert_eq!(bytes.len(), begin.content as usize);
    assert_eq!(packed(&nvlist::decode(bytes, Order::Little).unwrap()), bytes);
    for end in [0, SIZE - 1, SIZE, stream.len() - 1] {
        assert!(WrappedKey::read_first(&mut &stream[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn each_field_counts() {
    let key = WrappedKey::read(&content(1)).unwrap();
    assert!(key == WrappedKey::read(&content(1)).unwrap());
    for (name, len) in FIELDS {
        let mut changed = fields(1);
        let field = changed.iter_mut().find(|(key, _)| key == name).unwrap();
        field.1 = len.map_or(Value::U64(2), |len| Value::Bytes([vec![1; len - 1], vec![2]].concat()));
        let other = WrappedKey::read(&packed(&[(KEY_DATA.into(), Value::List(changed))])).unwrap();
        assert!(key != other, "{name}");
    }
}

#[test]
fn the_salt_tells_the_passphrase() {
    let key = |byte, salt| WrappedKey::read(&salted(byte, salt)).unwrap();
    assert!(key(1, 5).is_salted_as(&key(2, 5)));
    assert!(!key(1, 5).is_salted_as(&key(1, 6)));
    assert!(!key(1, 0).is_salted_as(&key(1, 0)), "no passphrase, no salt");
}

#[test]
fn what_could_be_read_in_two_ways_is_not_read() {
    let list = |fields: Pairs| (KEY_DATA.to_owned(), Value::List(fields));
    let twice = [fields(1), vec![("DSL_CRYPTO_IV".into(), Value::Bytes(vec![2; 12]))]].concat();
    let without: Pairs = fields(1).into_iter().filter(|(name, _)| name != "pbkdf2salt").collect();
    let mut short = fields(1);
    short[0].1 = Value::Bytes(vec![1; 8]);
    for pairs in [
        vec![],
        vec![(KEY_DATA.to_owned(), Value::U64(1))],
        vec![list(fields(1)), list(fields(1))],
        vec![list(fields(1)), (KEY_DATA.to_owned(), Value::Boolean)],
        vec![list(twice)],
        vec![list(without)],
        vec![list(short)],
    ] {
        assert!(matches!(WrappedKey::read(&packed(&pairs)), Err(WrappedKeyError::Description)), "{pairs:?}");
    }
    assert!(WrappedKey::read(&[&content(1)[..], &[0; 4]].concat()).is_err());
    // XDR, which the kernel would take.
    assert!(WrappedKey::read(&[&[1][..], &content(1)[1..]].concat()).is_err());
}

#[cfg(target_endian = "little")]
fn unhex(line: &str) -> Vec<u8> {
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect()
}

/// Its first record.
#[cfg(target_endian = "little")]
const STREAM: &str = "
0000000004040000accbbaf50200000011000805000000002ced0a6b00000000020000000c00000082c333794de9591b000000000000000061706f
6f6c2f6540610000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000100000000000001000000380000000e000000010000001300000063727970745f6b65796461746100
00000000000001000000000000000000000000000000000000003000000011000000010000000800000044534c5f43525950544f5f535549544500
0000000000000008000000000000002800000010000000010000000800000044534c5f43525950544f5f475549440079f7e7611be1f9da30000000
13000000010000000800000044534c5f43525950544f5f56455253494f4e00000000000001000000000000004800000018000000200000001a0000
0044534c5f43525950544f5f4d41535445525f4b45595f31002f7082cd3969f60c6fb165e7845b627cea575ccb480cb95c6589a3aa76682fa66800
000016000000400000001a00000044534c5f43525950544f5f484d41435f4b45595f3100000058d1f96a2cec968f88c04f45fc64ff67c74a1fdb23
6074a471fd6bea96559f8fba4200a9c70afe9e9cd5204a6830964c9ef55284ecff2c4efd076d719e243615300000000e0000000c0000001a000000
44534c5f43525950544f5f4956000000a21091d50b1e9d33226dcab000000000300000000f000000100000001a00000044534c5f43525950544f5f
4d41430000594c4cece80e0e74b64426f10a8d9a09400000000d000000200000001a000000706f727461626c655f6d616300000000d4f1c205f5ea
266c238ca69d1f7436c4f4977e7909066891db0ef747b6a16cd4280000000a00000001000000080000006b6579666f726d61740000000000000003
00000000000000280000000c000000010000000800000070626b64663269746572730000000000a086010000000000280000000b00000001000000
0800000070626b64663273616c74000000000000496b031217135c62280000000d00000001000000080000006d646e5f636865636b73756d000000
000000000000000000280000000d00000001000000080000006d646e5f636f6d7072657373000000000000000000000000280000000c0000000100
0000080000006d646e5f6e6c6576656c7300000000000600000000000000280000000a00000001000000080000006d646e5f626c6b737a00000000
0000000040000000000000280000001000000001000000080000006d646e5f696e64626c6b7368696674001100000000000000280000000c000000
01000000080000006d646e5f6e626c6b70747200000000000300000000000000280000000d00000001000000080000006d646e5f6d6178626c6b69
64000000000100000000000000280000000e0000000100000008000000746f5f69767365745f677569640000005f1ca028e21a2a00280000001000
0000010000000800000066726f6d5f69767365745f677569640000000000000000000000000000000000
";
