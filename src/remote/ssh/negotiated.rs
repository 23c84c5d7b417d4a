//! What ssh's log (`ssh -v`) tells of a connection that was made.

/// What ssh and the host have agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// How the user has logged in: `publickey`, `password`, `keyboard-interactive`, ...
    pub method: Option<String>,
    /// What protects what comes from the host; the other way is the same cipher, unless somebody wants it otherwise.
    pub cipher: Option<String>,
}

/// Reads the log. With a jump host the other ssh has a log of its own.
pub(super) fn read(log: &[u8]) -> Negotiated {
    let log = String::from_utf8_lossy(log);
    let method = log.lines().filter(|line| line.starts_with("Authenticated to ")).find_map(|line| {
        let (_, method) = line.rsplit_once("using \"")?;
        Some(word(method))
    });
    let cipher = log.lines().find_map(|line| {
        let (_, rest) = line.split_once("kex: server->client cipher: ")?;
        Some(word(rest))
    });
    Negotiated { method, cipher }
}

/// The name at the beginning. It is shown: nothing but what names of ciphers and methods are made of.
fn word(text: &str) -> String {
    text.chars().take_while(|ch| ch.is_ascii_alphanumeric() || "@.-+_".contains(*ch)).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_connection_was_made() {
        // Of OpenSSH 9.2.
        let log = "OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17 1 Jul 2025\r
debug1: kex: algorithm: sntrup761x25519-sha512@openssh.com\r
debug1: kex: server->client cipher: aes128-gcm@openssh.com MAC: <implicit> compression: none\r
debug1: kex: client->server cipher: aes128-gcm@openssh.com MAC: <implicit> compression: none\r
Authenticated to beta ([10.0.0.2]:22) using \"publickey\".\r
";
        let expected = Negotiated { method: Some("publickey".into()), cipher: Some("aes128-gcm@openssh.com".into()) };
        assert_eq!(read(log.as_bytes()), expected);
        assert_eq!(
            read(b"Authenticated to b ([::1]:22) using \"pass\x1b[2J\"."),
            Negotiated { method: Some("pass".into()), cipher: None }
        );
        assert_eq!(read(b""), Negotiated::default());
    }
}
