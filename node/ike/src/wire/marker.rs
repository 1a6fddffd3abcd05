/// RFC 3948 §2.2: on port 4500, four zero bytes where ESP has its SPI tell IKE from ESP.
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// The IKE message of a datagram to port 4500; `None` for ESP and keepalives.
pub fn strip_non_esp_marker(datagram: &[u8]) -> Option<&[u8]> {
    datagram.strip_prefix(NON_ESP_MARKER.as_slice())
}

pub fn with_non_esp_marker(message: &[u8]) -> Vec<u8> {
    [NON_ESP_MARKER.as_slice(), message].concat()
}
