//! Taking the mask off a client's payload, eight bytes at a time.

/// Takes `key` off `data` in place. (The same puts it on.)
pub fn unmask(data: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}
