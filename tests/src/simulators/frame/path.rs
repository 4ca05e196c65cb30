//! Patterns of paths: providers' paths differ in the middle, not at their start.

/// Whether a path is of this pattern: `*` stands for one segment, `**` at the end for any number of further ones. Letters'
/// case does not count, as it does not for some providers.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let mut path = path.trim_matches('/').split('/');
    for want in pattern.trim_matches('/').split('/') {
        if want == "**" {
            return true;
        }
        let fits = |is: &str| want == "*" || want.eq_ignore_ascii_case(is);
        if !path.next().is_some_and(fits) {
            return false;
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::path_matches;

    #[test]
    fn a_star_is_one_segment_and_two_are_the_rest() {
        assert!(path_matches("/v2/droplets", "/v2/droplets"));
        assert!(!path_matches("/v2/droplets", "/v2/droplets/7"));
        assert!(path_matches("/v2/droplets/*/actions", "/V2/Droplets/7/actions"));
        assert!(!path_matches("/v2/droplets/*", "/v2/droplets"));
        assert!(!path_matches("/v2/droplets/*", "/v2/droplets/7/actions"));
        assert!(path_matches("/v2/droplets/**", "/v2/droplets/7/actions"));
        assert!(path_matches("/v2/droplets/**", "/v2/droplets"));
        assert!(path_matches("**", "/anything"));
    }
}
