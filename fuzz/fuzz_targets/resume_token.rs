//! Resume tokens from the other host: whatever is understood is rebuilt with the same fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zfs::Token;
use zfs::name::ResumeToken;

fuzz_target!(|text: &str| {
    if let Ok(token) = Token::decode(&ResumeToken(text.to_owned())) {
        let again = Token::decode(&token.encode("p/x@y")).expect("ours can be read");
        assert_eq!(again, Token { to_name: "p/x@y".into(), ..token });
    }
});
