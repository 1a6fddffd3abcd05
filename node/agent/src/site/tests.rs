use std::net::SocketAddr;

use twinmesh_ike::Retransmission;
use twinmesh_ike::config::{Childless, EncapsulationPolicy, Lifetime, Narrowing, Remote, Uniqueness};

use super::selectors::to_ike;
use super::*;

mod properties;

/// A good file.
const SITE: &str = r#"
name = "branch-7"
remote = "198.51.100.2"
proposals = ["aes128gcm16-prfsha256-x25519", "aes256-sha256-modp2048"]
rekey_time = "2h"

[auth]
psk = "correct horse battery staple, and more of it"
local_id = "@gw.example.net"

[[child]]
name = "lan"
local_ts = ["10.1.0.0/16"]
remote_ts = ["10.2.0.0/16", "10.3.0.0/16[tcp/443]"]
proposals = ["aes128gcm16-x25519"]
rekey_bytes = "9 GiB"
"#;

fn read(text: &str) -> Result<Site, SiteFileError> {
    Site::read(text, "site.toml", Path::new("/nonexistent"))
}

fn good(text: &str) -> Site {
    read(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The good file with one part of it replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SITE.contains(from), "{from}");
    SITE.replacen(from, to, 1)
}

#[track_caller]
fn refused(text: &str, line: usize, reason: &str) {
    let error = read(text).err().unwrap_or_else(|| panic!("it was accepted:\n{text}"));
    let shown = error.to_string();
    assert!(shown.starts_with(&format!("site.toml:{line}: ")) && shown.contains(reason), "{shown}");
}

fn here() -> SocketAddr {
    "192.0.2.1:4500".parse().unwrap()
}

#[test]
fn a_site_becomes_a_connection() {
    let site = good(SITE);
    assert!(site.weaknesses().is_empty());
    let (connection, preset) = site.connection(here());
    assert_eq!((&*connection.name, preset.len()), ("branch-7", 0));
    assert_eq!(connection.remote, Remote::At("198.51.100.2:4500".parse().unwrap()));
    let shown: Vec<String> = connection.proposals.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["aes128gcm16-prfsha256-x25519", "aes256-sha256-modp2048"]);
    assert_eq!(connection.local_identity, "@gw.example.net".parse().unwrap());
    let peer: Identity = "198.51.100.2".parse().unwrap();
    assert!(connection.remote_identity.matches(&peer).is_some());
    assert_eq!(connection.lifetime, Lifetime::of(Duration::from_hours(2)));
    assert_eq!(connection.dpd_delay, Some(Duration::from_secs(30)));
    assert!(connection.mobike && connection.reauth.is_none());
    let child = connection.child("lan").unwrap();
    assert_eq!(child.selectors.to_string(), "10.1.0.0/16 === 10.2.0.0/16, 10.3.0.0/16[6/443]");
    let extra = site.child("lan").unwrap();
    assert_eq!((extra.rekey_bytes, extra.path_mtu, extra.replay_window), (Some(9 << 30), 1500, 4096));
}

#[test]
fn what_is_left_out_follows_from_the_addresses() {
    let site = good(&changed("local_id = \"@gw.example.net\"\n", ""));
    assert_eq!(site.connection(here()).0.local_identity, "192.0.2.1".parse().unwrap());
    let hosts = "\n[[child]]\nname = \"hosts\"\nmode = \"transport\"\n";
    let (connection, _) = good(&format!("{SITE}{hosts}")).connection(here());
    assert_eq!(connection.child("hosts").unwrap().selectors.to_string(), "192.0.2.1/32 === 198.51.100.2/32");
}

#[test]
fn a_site_may_stay_where_it_is_and_prove_itself_from_time_to_time() {
    let text = changed("rekey_time", "mobike = false\nreauth_time = \"8h\"\nrekey_time");
    let (connection, _) = good(&text).connection(here());
    assert!(!connection.mobike);
    assert_eq!(connection.reauth, Some(Duration::from_hours(8)));
}

#[test]
fn a_peer_is_told_of_all_addresses_but_those_inside_the_tunnel() {
    let hosts = ["192.0.2.1", "10.1.0.1", "203.0.113.7"].map(|text| text.parse().unwrap()).into();
    let told = good(SITE).additional_addresses("192.0.2.1".parse().unwrap(), &hosts);
    assert_eq!(told, ["203.0.113.7".parse::<IpAddr>().unwrap()]);
}

#[test]
fn selectors_are_the_same_in_the_words_of_both_engines() {
    for text in ["10.2.0.0/16", "10.2.0.1-10.2.0.9[udp]", "2001:db8::/32[tcp/443]", "10.2.0.1[tcp/opaque]"] {
        let esp: twinmesh_dataplane::esp::TrafficSelector = text.parse().unwrap();
        assert_eq!(to_ike(&esp).and_then(|ike| to_esp(&ike)), Some(esp), "{text}");
    }
}

#[test]
fn a_vendors_preset_says_what_it_does() {
    let text = changed("rekey_time", "vendor = \"cisco-asa\"\nrekey_time");
    let (_, preset) = good(&text).connection(here());
    assert!(preset.concat().contains("one pair of subnets"));
}

#[test]
fn mistakes_are_told_with_their_line() {
    refused("name = ", 1, "");
    refused(&changed("name = \"branch-7\"", "name = \"branch 7\""), 2, "cannot be a name");
    refused(&changed("198.51.100.2", "branch.example.net"), 3, "no address of a peer");
    refused(&changed("x25519", "x25518"), 4, "`x25518`");
    refused(&changed("aes256-sha256-modp2048", "aes256-sha1-modp1024"), 4, "allow_legacy");
    refused(&changed("\"2h\"", "\"2 hours\""), 5, "no time");
    refused(&changed("rekey_time", "rekey"), 5, "unknown field `rekey`");
    refused(&changed("@gw.example.net", "#0g"), 9, "no identity");
    refused(&changed("10.2.0.0/16", "10.2.0.0/33"), 14, "10.2.0.0/33");
    refused(&changed("10.2.0.0/16", "0.0.0.0/0"), 14, "routes = ");
    refused(&changed("remote_ts = [\"10.2.0.0/16\", \"10.3.0.0/16[tcp/443]\"]\n", ""), 12, "remote_ts");
    refused(&format!("{SITE}life_time = \"1m\"\n"), 17, "before rekey_time");
    refused(&format!("{SITE}[[child]]\nname = \"lan\"\n"), 18, "two children");
    refused(&changed("\"198.51.100.2\"", "\"any\""), 3, "remote_id");
    refused(&changed("rekey_time", "vendor = \"acme\"\nrekey_time"), 5, "cisco-asa");
    refused(
        &changed("psk = \"correct horse battery staple, and more of it\"", "psk = \"0xzz\""),
        8,
        "hexadecimal",
    );
}

#[test]
fn a_peer_from_anywhere_is_known_by_its_identity() {
    let text =
        changed("\"198.51.100.2\"", "\"any\"").replace("local_id", "remote_id = \"*.example.net\"\nlocal_id");
    let site = good(&text);
    assert!(!site.starts());
    assert_eq!(site.remote, Remote::Anywhere);
    for asks in ["start = \"start\"", "start = \"trap\"", "dpd_action = \"restart\""] {
        refused(&text.replace("rekey_time", &format!("{asks}\nrekey_time")), 5, "only the peer can start");
    }
    refused(&format!("{text}start = \"trap\"\n"), 18, "only the peer can start");
}

#[test]
fn children_start_as_their_site_does_or_differ_and_a_loss_is_met_accordingly() {
    use StartAction::{None, Start, Trap};

    let site_start = |start: &str| changed("rekey_time", &format!("start = \"{start}\"\nrekey_time"));
    let voice = |start: &str| {
        format!(
            "[[child]]\nname = \"voice\"\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.4.0.0/16\"]\n{start}"
        )
    };
    let seen = |text: &str| {
        let site = good(text);
        (site.children.iter().map(SiteChild::start).collect::<Vec<_>>(), site.after_loss)
    };
    assert_eq!(seen(SITE), (vec![Start], AfterLoss::Restart));
    assert_eq!(seen(&(site_start("trap") + &voice(""))), (vec![Trap, Trap], AfterLoss::Trap));
    assert_eq!(seen(&(site_start("none") + &voice("start = \"trap\""))), (vec![None, Trap], AfterLoss::Trap));
    let cleared = changed("rekey_time", "dpd_action = \"clear\"\nrekey_time");
    assert_eq!(seen(&cleared), (vec![Start], AfterLoss::Clear));
}

#[test]
fn esp_goes_in_udp_unless_the_file_says_otherwise() {
    let policy = |text: &str| good(text).connection(here()).0.encapsulation;
    assert_eq!(policy(SITE), EncapsulationPolicy::Udp);
    for (word, expected) in [("auto", EncapsulationPolicy::Auto), ("raw", EncapsulationPolicy::Raw)] {
        assert_eq!(
            policy(&changed("rekey_time", &format!("encapsulation = \"{word}\"\nrekey_time"))),
            expected
        );
    }
    refused(&changed("rekey_time", "encapsulation = \"esp\"\nrekey_time"), 5, "expected one of");
}

#[test]
fn transport_mode_is_for_the_two_ends_alone() {
    let child = "\n[[child]]\nname = \"hosts\"\nmode = \"transport\"\n";
    let ssh = format!("{SITE}{child}remote_ts = [\"198.51.100.2[tcp/22]\"]\n");
    assert!(good(&ssh).child("hosts").is_some());
    refused(&ssh.replace("198.51.100.2[", "198.51.100.3["), 21, "can only be 198.51.100.2");
    refused(&format!("{SITE}{child}local_ts = [\"192.0.2.0/24\"]\n"), 21, "the address of this node");
    let from_anywhere = |text: &str| {
        text.replace("\"198.51.100.2\"", "\"any\"")
            .replace("local_id", "remote_id = \"*.example.net\"\nlocal_id")
    };
    assert!(good(&from_anywhere(&format!("{SITE}{child}"))).child("hosts").is_some());
    refused(&from_anywhere(&ssh), 22, "leave remote_ts out");
}

#[test]
fn repetitions_fragments_and_childless_ike_sas_are_settings_of_a_site() {
    let defaults = good(SITE).connection(here()).0;
    assert_eq!(defaults.retransmission, Some(Retransmission::default()));
    assert_eq!((defaults.fragment_size, defaults.childless), (None, Childless::Allow));
    let settings = "retransmission = { first = \"2s\", factor = 1.5, longest = \"9s\", tries = 3 }\n\
                    fragment_size = 600\nchildless = \"prefer\"\nsingle_pair = true\nrekey_time";
    let connection = good(&changed("rekey_time", settings)).connection(here()).0;
    let [first, longest] = [2, 9].map(Duration::from_secs);
    assert_eq!(connection.retransmission, Some(Retransmission { first, factor: 15, longest, tries: 3 }));
    assert_eq!((connection.fragment_size, connection.childless), (Some(600), Childless::Prefer));
    assert_eq!(connection.quirks.narrowing, Narrowing::SinglePair);
    for (setting, reason) in [
        ("retransmission = { factor = 0.5 }", "1.0 to 10.0"),
        ("retransmission = { tries = 21 }", "1 to 20"),
        ("retransmission = { last = 1 }", "unknown field `last`"),
        ("fragment_size = 575", "576 to 65535"),
        ("childless = \"perhaps\"", "unknown variant `perhaps`"),
        ("uniqueness = \"never\"", "unknown variant `never`"),
    ] {
        refused(&changed("rekey_time", &format!("{setting}\nrekey_time")), 5, reason);
    }
}

#[test]
fn how_many_ike_sas_there_may_be_with_a_peer_is_a_setting_of_a_site() {
    let uniqueness = |site: &str| good(site).connection(here()).0.uniqueness;
    assert_eq!(uniqueness(SITE), Uniqueness::Replace);
    for (name, expected) in
        [("replace", Uniqueness::Replace), ("keep", Uniqueness::Keep), ("multiple", Uniqueness::Multiple)]
    {
        assert_eq!(
            uniqueness(&changed("rekey_time", &format!("uniqueness = \"{name}\"\nrekey_time"))),
            expected
        );
    }
}

#[test]
fn a_check_says_what_a_file_means_and_what_is_doubtful() {
    let sound = good(SITE).explain(here(), &[]);
    let page = sound.meaning.join("\n");
    for words in [
        "IKEv2 with a peer at 198.51.100.2, UDP port 4500",
        "this node is gw.example.net and proves it by the pre-shared key",
        "new keys every 2 h",
        "10.1.0.0/16 === 10.2.0.0/16, 10.3.0.0/16[6/443]; this node begins; aes128gcm16-x25519",
        "routed into the TUN device: 10.2.0.0/16, 10.3.0.0/16",
        "after 30 s of silence",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(sound.warnings, Vec::<String>::new());

    let doubtful = changed("rekey_time", "allow_legacy = true\nrekey_time")
        .replace("aes256-sha256-modp2048", "aes256-sha1-modp1024")
        .replace("correct horse battery staple, and more of it", "short")
        .replace("[\"aes128gcm16-x25519\"]", "[\"aes128gcm16\"]")
        + "[[child]]\nname = \"voice\"\nlocal_ts = [\"10.1.2.0/24\"]\nremote_ts = [\"10.2.2.0/24\"]\n";
    let elsewhere = |remote: &str| OtherTraffic {
        name: format!("the site for {remote}"),
        local: vec![to_ike(&"10.0.0.0/8".parse().unwrap()).unwrap()],
        remote: vec![to_ike(&remote.parse().unwrap()).unwrap()],
    };
    let warnings =
        good(&doubtful).explain(here(), &[elsewhere("10.3.9.9"), elsewhere("10.9.0.0/16")]).warnings;
    let said = |words: &str| warnings.iter().filter(|warning| warning.contains(words)).count();
    assert_eq!(
        [
            said("psk: "),
            said("`aes256-sha1-modp1024` is weak"),
            said("child `lan`: without a key exchange"),
            said("child `lan` and child `voice` overlap"),
            said("child `lan` overlaps with the site for 10.3.9.9"),
        ],
        [1; 5],
        "{warnings:#?}"
    );
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
}

#[test]
fn a_default_route_needs_the_prefixes_to_be_named() {
    let text =
        changed("remote_ts = [\"10.2.0.0/16\", ", "routes = [\"10.2.0.0/16\"]\nremote_ts = [\"0.0.0.0/0\", ");
    let routes = good(&text).children.remove(0).routes.unwrap();
    assert!(routes.iter().map(ToString::to_string).eq(["10.2.0.0/16"]));
    refused(&text.replace("routes = [\"10.2.0.0/16\"]", "routes = [\"0.0.0.0/0\"]"), 14, "0.0.0.0/0");
}

#[test]
fn a_secret_is_never_shown() {
    let table: Result<file::SiteTable, _> = toml::from_str(SITE);
    assert!(!format!("{table:?}").contains("horse"));
    let error =
        read(&changed("psk = \"correct horse battery staple, and more of it\"", "psk = 7771")).err().unwrap();
    assert!(!error.to_string().contains("7771"), "{error}");
}

#[test]
fn the_example_in_the_help_is_a_site() {
    assert_eq!(good(crate::cli::SITE_EXAMPLE).name, "branch-7");
}

#[test]
fn a_postquantum_key_has_a_name_and_is_required_unless_the_file_says_otherwise() {
    let secret = "0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let with = |more: &str| changed("[auth]\n", &format!("[auth]\n{more}\n"));
    let key = |text: &str| good(text).connection(here()).0.ppk.expect("a key");
    let written = format!("ppk = \"{secret}\"\nppk_id = \"lab\"");
    assert!(key(&with(&written)).is_required());
    assert_eq!(key(&with(&written)).id(), "lab");
    let optional = with(&format!("{written}\nppk_required = false"));
    assert!(!key(&optional).is_required());
    assert!(good(&optional).weaknesses().is_empty());
    let weak = good(&with("ppk = \"a word\"\nppk_id = \"lab\"")).weaknesses();
    assert!(weak[0].to_string().contains("quantum"), "{}", weak[0]);
    let line = SITE[..SITE.find("[auth]").unwrap()].lines().count() + 2;
    refused(&with(&format!("ppk = \"{secret}\"")), line, "ppk_id");
    refused(&with("ppk_id = \"lab\""), line, "ppk = ");
    refused(&with("ppk_required = true"), line, "ppk = ");
    let shown = read(&with(&format!("ppk = \"0x{}\"\nppk_id = \"lab\"", "z".repeat(8)))).err().unwrap();
    assert!(!shown.to_string().contains("zzzz"), "{shown}");
}

#[test]
fn additional_key_exchanges_are_read_for_ike_and_for_children() {
    let hybrid = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";
    let site = good(&changed("aes128gcm16-prfsha256-x25519", hybrid));
    assert_eq!(site.connection(here()).0.proposals[0].to_string(), hybrid);
    let wrong = changed("aes128gcm16-prfsha256-x25519", "aes256gcm16-prfsha384-mlkem768");
    let error = read(&wrong).err().unwrap().to_string();
    assert!(error.contains("x25519-ke1_mlkem768"), "{error}");
}
