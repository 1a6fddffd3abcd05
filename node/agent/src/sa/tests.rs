use proptest::prelude::*;
use twinmesh_dataplane::esp::{DscpPolicy, Limits, Mode, Suite};
use twinmesh_dataplane::{Encapsulation, EspPath};

use super::{ManualSa, Problem};

/// A good table of tunnel mode; what follows it belongs to `[[sa]]`.
const TUNNEL: &str = r#"
[[sa]]
name = "to-beta"
mode = "tunnel"
suite = "aes128gcm16"
remote = "198.51.100.2:4500"
local_ts = ["10.1.0.0/16"]
remote_ts = ["10.2.0.0/16"]
inbound = { spi = "c0000001", key = "0x000102030405060708090a0b0c0d0e0f10111213" }
outbound = { spi = 0xd0000001, key = "000102030405060708090a0b0c0d0e0f 10111214" }
"#;

fn read(text: &str) -> Result<Vec<ManualSa>, super::SaFileError> {
    ManualSa::read(text, "sa.toml")
}

fn one(text: &str) -> ManualSa {
    let mut all = read(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The good table with one part of it replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(TUNNEL.contains(from), "{from}");
    TUNNEL.replacen(from, to, 1)
}

#[track_caller]
fn refused(text: &str, line: usize, reason: &str) {
    let error = read(text).err().unwrap_or_else(|| panic!("it was accepted:\n{text}"));
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("sa.toml:{line}: ")) && shown.contains(reason), "{shown}");
}

#[test]
fn a_short_table_gets_the_defaults() {
    let sa = one(TUNNEL).config;
    assert_eq!((sa.name.as_str(), sa.path.remote.to_string().as_str()), ("to-beta", "198.51.100.2:4500"));
    assert_eq!((sa.inbound.spi.get(), sa.outbound.spi.get()), (0xc000_0001, 0xd000_0001));
    assert_eq!((sa.inbound.suite, sa.inbound.mode), (Suite::AES_128_GCM_16, Mode::Tunnel));
    assert_eq!(sa.inbound.selectors.to_string(), "10.1.0.0/16 === 10.2.0.0/16");
    assert_eq!((sa.inbound.esn, sa.inbound.replay_window, sa.path_mtu), (false, 4096, 1500));
    assert_eq!(sa.outer.dscp, DscpPolicy::Copy);
    assert_eq!((sa.path.local, sa.follow_remote, sa.outbound.tfc_multiple), (None, false, 0));
    assert!(!sa.partial_checksums);
    assert_eq!(sa.outbound.lifetime, twinmesh_dataplane::esp::Lifetime::default());
}

#[test]
fn every_setting_reaches_the_sa() {
    let text = changed(
        "local_ts",
        r#"esn = true
        replay_window = 1024
        tfc = 256
        dscp = 46
        follow_remote = true
        path_mtu = 1400
        partial_checksums = true
        lifetime.soft = { bytes = "9 GiB", packets = "3M", time = "55m" }
        lifetime.hard = { bytes = "10 GiB", packets = 4_000_000, time = 3600 }
        local_ts"#,
    );
    let sa = one(&text).config;
    assert!(sa.inbound.esn && sa.outbound.esn && sa.follow_remote && sa.partial_checksums);
    assert_eq!((sa.inbound.replay_window, sa.path_mtu), (1024, 1400));
    assert_eq!(sa.outer.dscp, DscpPolicy::Fixed(46));
    // 1400 less IPv4, UDP, ESP header, IV, padding, trailer, ICV.
    assert_eq!((sa.outbound.tfc_multiple, sa.outbound.tfc_limit), (256, 1400 - 20 - 8 - 8 - 8 - 4 - 2 - 16));
    let minutes = |minutes| Some(std::time::Duration::from_mins(minutes));
    let hard = Limits { bytes: Some(10 << 30), packets: Some(4_000_000), time: minutes(60) };
    assert_eq!(sa.inbound.lifetime.hard, hard);
    assert_eq!(sa.outbound.lifetime.soft.time, minutes(55));
}

#[test]
fn transport_mode_protects_the_two_addresses_unless_told_less() {
    let transport = r#"mode = "transport"
        local = "192.0.2.1""#;
    let all = changed(r#"mode = "tunnel""#, transport);
    let bare: String =
        all.lines().filter(|line| !line.contains("_ts")).map(|line| format!("{line}\n")).collect();
    let sa = one(&bare);
    assert_eq!(sa.config.inbound.selectors.to_string(), "192.0.2.1/32 === 198.51.100.2/32");
    assert_eq!(sa.config.path.local, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(sa.destinations, ["198.51.100.2/32".parse().unwrap()].into());

    let narrow = all.replace("10.1.0.0/16", "192.0.2.1").replace("10.2.0.0/16", "198.51.100.2[tcp/443]");
    assert_eq!(
        one(&narrow).config.inbound.selectors.to_string(),
        "192.0.2.1/32 === 198.51.100.2/32[tcp/443]"
    );
    refused(&all, 8, "can only be 192.0.2.1 itself");
    refused(&bare.replace("192.0.2.1", "2001:db8::1"), 5, "another IP version");
    refused(&bare.replace("        local = \"192.0.2.1\"\n", ""), 4, "needs local");
    refused(
        &bare.replace("suite", "partial_checksums = true\nsuite"),
        6,
        "partial_checksums = true needs tunnel",
    );
    refused(&changed("suite", "local = \"192.0.2.1\"\nsuite"), 5, "belongs to transport mode");
}

#[test]
fn esp_without_udp_has_no_port_and_may_have_an_address_to_leave_from() {
    let raw =
        |ends: &str| changed("remote = \"198.51.100.2:4500\"", &format!("encapsulation = \"raw\"\n{ends}"));
    let sa = one(&raw("remote = \"198.51.100.2\"\nlocal = \"192.0.2.1\"")).config;
    let local = Some("192.0.2.1".parse().unwrap());
    let remote = "198.51.100.2:0".parse().unwrap();
    assert_eq!(sa.path, EspPath { local, remote, encapsulation: Encapsulation::Raw });
    assert!(!sa.inbound.align_8);
    let sa = one(&raw("remote = \"2001:db8::2\"")).config;
    assert!(sa.inbound.align_8 && sa.outbound.align_8 && sa.path.local.is_none());
    refused(&raw("remote = \"198.51.100.2:4500\""), 7, "without a port");
    refused(&raw("remote = \"198.51.100.2\"\nfollow_remote = true"), 8, "goes with UDP");
    refused(&raw("remote = \"198.51.100.2\"\nlocal = \"2001:db8::1\""), 8, "another IP version");
    refused(&changed("remote =", "encapsulation = \"tcp\"\nremote ="), 6, "expected `udp` or `raw`");
}

#[test]
fn ranges_are_routed_as_prefixes_of_which_none_lies_in_another() {
    let text = changed(
        r#"["10.2.0.0/16"]"#,
        r#"["10.2.0.1-10.2.0.6", "10.3.0.0/16", "10.3.128.0/17[tcp/80]", "2001:db8::/32"]"#,
    );
    let text = text.replace(r#"["10.1.0.0/16"]"#, r#"["10.1.0.0/16", "2001:db8:1::/48"]"#);
    let routed: Vec<String> = one(&text).destinations.iter().map(ToString::to_string).collect();
    assert_eq!(
        routed,
        ["10.2.0.1/32", "10.2.0.2/31", "10.2.0.4/31", "10.2.0.6/32", "10.3.0.0/16", "2001:db8::/32"]
    );
}

#[test]
fn each_fault_is_told_with_its_line_and_the_way_out() {
    for (from, to, line, reason) in [
        ("[[sa]]", "[[sas]]", 2, "unknown field `sas`"),
        ("suite", "siute", 5, "unknown field `siute`"),
        ("remote =", "port = 1\nremote =", 6, "unknown field `port`"),
        ("\"tunnel\"", "\"beet\"", 4, "expected `tunnel` or `transport`"),
        ("\"to-beta\"", "\"to beta\"", 3, "cannot be a name"),
        ("aes128gcm16", "aes128", 5, "authenticates nothing"),
        ("aes128gcm16", "rot13", 5, "unknown encryption algorithm"),
        ("aes128gcm16", "3des-sha1", 5, "allow_legacy = true"),
        ("aes128gcm16", "aes128-md5", 5, "allow_legacy = true"),
        ("aes128gcm16", "null-sha256", 5, "allow_null = true"),
        ("aes128gcm16", "aes128gmac", 5, "encrypts nothing"),
        ("aes128gcm16", "aes256gcm16", 9, "takes a key of 36 bytes (72 hexadecimal digits), this one has 20"),
        ("198.51.100.2:4500", "198.51.100.2", 6, "no address with a port"),
        ("198.51.100.2:4500", "0.0.0.0:4500", 6, "no address with a port"),
        ("10.1.0.0/16", "10.1.0.0/33", 7, "neither a prefix"),
        ("10.1.0.0/16", "2001:db8::/32", 3, "share no IP version"),
        ("10.2.0.0/16", "0.0.0.0/0", 8, "carry the tunnels themselves into the tunnel"),
        ("\"10.2.0.0/16\"", "\"0.0.0.0/1\", \"128.0.0.0/1\"", 8, "0.0.0.0/0 would get a route"),
        ("\"10.2.0.0/16\"", "", 8, "needs remote_ts"),
        ("remote_ts = [\"10.2.0.0/16\"]\n", "", 3, "needs remote_ts"),
        ("\"c0000001\"", "\"40000001\"", 9, "top bit set"),
        ("\"c0000001\"", "255", 9, "no SPI"),
        ("\"c0000001\"", "\"+c000001\"", 9, "no SPI"),
        ("\"c0000001\"", "true", 9, "a number, or a text in quotes"),
        ("\"0x0001", "\"0x001", 9, "two hexadecimal digits for each byte"),
        ("10111214", "10111213", 10, "keys of their own"),
        ("remote =", "replay_window = 16\nremote =", 6, "32 to 65536"),
        ("remote =", "tfc = 2\nremote =", 6, "TFC padding"),
        ("remote =", "dscp = 64\nremote =", 6, "0 to 63"),
        ("remote =", "path_mtu = 500\nremote =", 6, "from 576"),
        ("remote =", "lifetime.soft.time = \"1w\"\nremote =", 6, "no time"),
        ("remote =", "lifetime.soft.bytes = 2\nlifetime.hard.bytes = 1\nremote =", 7, "before the soft one"),
    ] {
        refused(&changed(from, to), line, reason);
    }
    refused("", 1, "no SA in this file");
    refused("[[sa]", 1, "");
}

#[test]
fn weak_suites_are_taken_when_asked_for() {
    for (suite, allowance, digits) in [("3des-sha1", "allow_legacy", 88), ("null-sha256", "allow_null", 64)] {
        let key = |last: char| format!("{}{last}", "0".repeat(digits - 1));
        let text = changed("\"aes128gcm16\"", &format!("\"{suite}\"\n{allowance} = true"))
            .replace("0x000102030405060708090a0b0c0d0e0f10111213", &key('1'))
            .replace("000102030405060708090a0b0c0d0e0f 10111214", &key('2'));
        assert_eq!(one(&text).config.inbound.suite.to_string(), suite);
    }
}

#[test]
fn two_sas_share_neither_name_nor_inbound_spi_nor_key() {
    let second = TUNNEL.replace("to-beta", "to-gamma").replace("c0000001", "c0000002");
    let other_keys = second.replace("10111213", "20111213").replace("10111214", "20111214");
    assert_eq!(read(&format!("{TUNNEL}{other_keys}")).unwrap().len(), 2);
    refused(&format!("{TUNNEL}{second}"), 19, "keys of their own");
    refused(
        &format!("{TUNNEL}{}", other_keys.replace("c0000002", "c0000001")),
        19,
        "the SPI alone tells them apart",
    );
    refused(&format!("{TUNNEL}{}", other_keys.replace("to-gamma", "to-beta")), 13, "rename one");
}

#[test]
fn no_message_repeats_a_key() {
    let secret = "5ec2e7";
    for wrong in [format!("\"{secret}x\""), format!("0x{secret}"), secret.to_owned(), format!("\"{secret}\"")]
    {
        let text = changed("\"0x000102030405060708090a0b0c0d0e0f10111213\"", &wrong);
        let error = read(&text).err().unwrap();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains(secret) && !shown.contains("6210279"), "{shown}");
        }
        assert_eq!(error.line, 9);
    }
}

#[test]
fn the_example_of_the_help_is_a_good_file() {
    let names: Vec<_> = read(crate::cli::SA_EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        names.iter().map(|sa| sa.config.name.as_str()).collect::<Vec<_>>(),
        ["to-beta", "host-to-host"]
    );
}

/// Files that come close to good ones.
fn nearly_good() -> impl Strategy<Value = String> {
    let lines: Vec<String> = TUNNEL.lines().map(str::to_owned).collect();
    let values = prop_oneof![
        Just("\"\"".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "\"[0-9a-fx./:\\[\\]-]{0,60}\"",
        "\\[(\"[0-9a-f./:\\[\\]-]{0,30}\")?\\]",
        "\\{ (soft|hard|spi|key) = \"?[0-9a-z ]{0,20}\"? \\}",
        "\\PC{0,40}",
    ];
    let keys = prop_oneof![
        Just("spi"),
        Just("name"),
        Just("mode"),
        Just("suite"),
        Just("remote"),
        Just("local"),
        Just("local_ts"),
        Just("remote_ts"),
        Just("inbound"),
        Just("outbound"),
        Just("lifetime"),
        Just("tfc"),
        Just("dscp"),
        Just("path_mtu"),
        Just("replay_window"),
    ];
    (0..lines.len(), keys, values).prop_map(move |(at, key, value)| {
        let mut lines = lines.clone();
        lines[at] = format!("{key} = {value}");
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn any_text_is_a_list_of_sas_or_an_error_with_a_line(text in prop_oneof!["\\PC*", "(?s).{0,200}", nearly_good()]) {
        match read(&text) {
            Ok(sas) => prop_assert!(!sas.is_empty()),
            Err(error) => {
                prop_assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1, "{}", error);
                if let Problem::Toml(message) = &error.problem {
                    prop_assert!(!message.contains('\n') && !message.is_empty());
                }
            }
        }
    }
}
