//! Encryption without integrity: RFC 3602 §4, RFC 3686 §6, NIST SP 800-38A appendix F.2, NIST SP 800-67 appendix B.

use super::hex;
use crate::cipher::block::BlockMode;
use crate::keys::{KeyError, Keyed};
use crate::suite::{Encryption, Suite};

fn run(encryption: Encryption, key: &str, salt: &str, iv: &str, text: &[u8], sealed: &str) {
    let error = KeyError { needed: 0, given: 0, suite: Keyed::Esp(Suite::AES_128_GCM_16) };
    let salt = hex(salt).try_into().unwrap_or_default();
    let mode = BlockMode::new(encryption, &hex(key), salt, error).unwrap();
    let mut bytes = text.to_vec();
    mode.encrypt(&hex(iv), &mut bytes);
    assert_eq!(bytes, hex(sealed), "{encryption} encrypts");
    mode.decrypt(&hex(iv), &mut bytes).unwrap();
    assert_eq!(bytes, text, "{encryption} decrypts");
}

fn counting(length: u8) -> Vec<u8> {
    (0..length).collect()
}

#[test]
fn aes_cbc_does_the_four_messages_of_rfc_3602() {
    let run = |key, iv, text: &[u8], sealed| run(Encryption::Aes128Cbc, key, "", iv, text, sealed);
    run(
        "06a9214036b8a15b512e03d534120006",
        "3dafba429d9eb430b422da802c9fac41",
        b"Single block msg",
        "e353779c1079aeb82708942dbe77181a",
    );
    run(
        "c286696d887c9aa0611bbb3e2025a45a",
        "562e17996d093d28ddb3ba695a2e6f58",
        &counting(32),
        "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
    );
    run(
        "6c3ea0477630ce21a2ce334aa746c2cd",
        "c782dc4c098c66cbd9cd27d825682c81",
        b"This is a 48-byte message (exactly 3 AES blocks)",
        "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5021c19216bad525c8579695d83ba2684",
    );
    run(
        "56e47a38c5598974bc46903dba290349",
        "8ce82eefbea0da3c44699ed7db51b7d9",
        &(0xa0..=0xdf).collect::<Vec<u8>>(),
        "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e\
         35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55",
    );
}

/// The RFC's packets have no ICV; what stands here begins behind the IV.
#[test]
fn aes_cbc_does_the_four_packets_of_rfc_3602() {
    let run = |key, iv, text, sealed| run(Encryption::Aes128Cbc, key, "", iv, &hex(text), sealed);
    run(
        "90d382b410eeba7ad938c46cec1a82bf",
        "e96e8c08ab465763fd098d45dd3ff893",
        "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
         202122232425262728292a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01",
        "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db08\
         0b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6",
    );
    run(
        "90d382b410eeba7ad938c46cec1a82bf",
        "69d08df7d203329db093fc4924e5bd80",
        "0800b5e8a80a0500a69c083d0b660e0077777777777777777777777701020201",
        "f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75",
    );
    run(
        "0123456789abcdef0123456789abcdef",
        "f4e765244f6407adf13dc1380f673f37",
        "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b\
         0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233\
         343536370102030405060708090a0a04",
        "773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad\
         7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a\
         109e0ca1e4dfe9d5a100b842f1c22f0d",
    );
    run(
        "0123456789abcdef0123456789abcdef",
        "85d47224b5f3dd5d2101d4ea8dffab22",
        "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffff\
         ffffffffffffffffffffffffffffffffffffffffffffffffffffffff0102030405060708090a0a04",
        "15b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3\
         a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892",
    );
}

#[test]
fn aes_cbc_with_longer_keys_does_the_examples_of_sp_800_38a() {
    let text = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                    30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    run(
        Encryption::Aes192Cbc,
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "",
        "000102030405060708090a0b0c0d0e0f",
        &text,
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a\
         571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
    );
    run(
        Encryption::Aes256Cbc,
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "",
        "000102030405060708090a0b0c0d0e0f",
        &text,
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d\
         39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
    );
}

/// The example is in ECB: each block for itself, as CBC with an IV of zero does it.
#[test]
fn triple_des_does_the_example_of_sp_800_67() {
    let blocks = [
        (b"The qufc", "a826fd8ce53b855f"),
        (b"k brown ", "cce21c8112256fe6"),
        (b"fox jump", "68d5c05dd9b6b900"),
    ];
    for (text, sealed) in blocks {
        let key = "0123456789abcdef23456789abcdef01456789abcdef0123";
        run(Encryption::TripleDesCbc, key, "", "0000000000000000", text, sealed);
    }
}

#[test]
fn aes_ctr_does_the_nine_messages_of_rfc_3686() {
    let run = |encryption, key, salt, iv, text: &[u8], sealed| run(encryption, key, salt, iv, text, sealed);
    let (aes128, aes192, aes256) = (Encryption::Aes128Ctr, Encryption::Aes192Ctr, Encryption::Aes256Ctr);
    let single = b"Single block msg";
    let key = "ae6852f8121067cc4bf7a5765577f39e";
    run(aes128, key, "00000030", "0000000000000000", single, "e4095d4fb7a7b3792d6175a3261311b8");
    let key = "7e24067817fae0d743d6ce1f32539163";
    let sealed = "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28";
    run(aes128, key, "006cb6db", "c0543b59da48d90b", &counting(32), sealed);
    let key = "7691be035e5020a8ac6e618529f9a0dc";
    let sealed = "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f";
    run(aes128, key, "00e0017b", "27777f3f4a1786f0", &counting(36), sealed);
    let key = "16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515";
    run(aes192, key, "00000048", "36733c147d6d93cb", single, "4b55384fe259c9c84e7935a003cbe928");
    let key = "7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a";
    let sealed = "453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00";
    run(aes192, key, "0096b03b", "020c6eadc2cb500d", &counting(32), sealed);
    let key = "02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe";
    let sealed = "96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935";
    run(aes192, key, "0007bdfd", "5cbd60278dcc0912", &counting(36), sealed);
    let key = "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104";
    run(aes256, key, "00000060", "db5672c97aa8f0b2", single, "145ad01dbf824ec7560863dc71e3e0c0");
    let key = "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884";
    let sealed = "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c";
    run(aes256, key, "00faac24", "c1585ef15a43d875", &counting(32), sealed);
    let key = "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d";
    let sealed = "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8";
    run(aes256, key, "001cc5b7", "51a51d70a1c11148", &counting(36), sealed);
}
