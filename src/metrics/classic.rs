//! From OpenMetrics to Prometheus' older text (0.0.4), which anything can read. There a family has
//! the name of its samples (`_total`, `_info`), and there are no units and no end mark.

/// The same metrics in the older text.
pub(super) fn from_open(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // The kind, which decides the name, comes with the next line.
            help = rest.split_once(' ').map(|(_, words)| words);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some(words) = help.take() {
                text.extend(["# HELP ", name, suffix, " ", words, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_get_the_names_of_their_samples() {
        let open = "# HELP pogo_a Some.\n# TYPE pogo_a counter\npogo_a_total{x=\"# y\"} 1\n\
                    # HELP pogo_b_bytes Bytes.\n# TYPE pogo_b_bytes gauge\n\
                    # UNIT pogo_b_bytes bytes\npogo_b_bytes 2\n\
                    # HELP pogo_c Version.\n# TYPE pogo_c info\npogo_c_info{v=\"1\"} 1\n# EOF\n";
        let classic = "# HELP pogo_a_total Some.\n# TYPE pogo_a_total counter\n\
                       pogo_a_total{x=\"# y\"} 1\n\
                       # HELP pogo_b_bytes Bytes.\n# TYPE pogo_b_bytes gauge\npogo_b_bytes 2\n\
                       # HELP pogo_c_info Version.\n# TYPE pogo_c_info gauge\n\
                       pogo_c_info{v=\"1\"} 1\n";
        assert_eq!(from_open(open), classic);
    }
}
