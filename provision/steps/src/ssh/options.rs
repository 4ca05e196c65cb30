//! Every option of ssh_config(5), on one of two lists: what the built-in client does as `ssh` would, and what is a reason to
//! have the user's own OpenSSH connect. An option on neither list is newer than we are, and a reason, too: nothing that a
//! config says is dropped in silence.

/// What the built-in client does as the option says, or what neither client of ours ever does for a script, whatever the
/// option says (lower case, as `ssh -G` prints them).
const UNDERSTOOD: &[&str] = &[
    // Where, as whom, with which keys, through which hosts: done.
    "hostname identitiesonly identityfile port proxyjump user",
    // How a config is read: `ssh -G` does that.
    "canonicaldomains canonicalizefallbacklocal canonicalizehostname canonicalizemaxdots \
     canonicalizepermittedcnames host ignoreunknown include match tag",
    // The check of host keys cannot be turned off, and known_hosts files are only read.
    "fingerprinthash hashknownhosts stricthostkeychecking updatehostkeys visualhostkey",
    // Nobody is asked for anything.
    "addkeystoagent batchmode kbdinteractiveauthentication kbdinteractivedevices numberofpasswordprompts \
     passwordauthentication",
    // Nothing is forwarded but what we ask for.
    "clearallforwardings dynamicforward exitonforwardfailure forwardagent forwardx11 forwardx11timeout \
     forwardx11trusted gatewayports localforward permitremoteopen remoteforward streamlocalbindmask \
     streamlocalbindunlink tunnel tunneldevice xauthlocation",
    // The commands that run on the host are ours, with neither a terminal nor variables from here.
    "enableescapecommandline escapechar forkafterauthentication localcommand obscurekeystroketiming \
     permitlocalcommand remotecommand requesttty sendenv sessiontype setenv stdinnull",
    // The connection is ours: shared within a command, kept alive, waited for with deadlines of our own.
    "connectionattempts connecttimeout controlmaster controlpath controlpersist serveralivecountmax \
     serveraliveinterval tcpkeepalive",
    // What is said where.
    "loglevel logverbose syslogfacility warnweakcrypto",
];

/// What the built-in client does not do. Whatever is not understood is a reason; this list is there so that each option was
/// thought of.
#[cfg(test)]
const OF_OPENSSH: &[&str] =
    &["addressfamily bindaddress bindinterface casignaturealgorithms certificatefile channeltimeout \
     checkhostip ciphers compression enablesshkeysign globalknownhostsfile gssapiauthentication \
     gssapiclientidentity gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange \
     gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hostbasedacceptedalgorithms \
     hostbasedauthentication hostkeyalgorithms hostkeyalias identityagent ipqos kexalgorithms \
     knownhostscommand macs nohostauthenticationforlocalhost pkcs11provider preferredauthentications \
     proxycommand proxyusefdpass pubkeyacceptedalgorithms pubkeyauthentication refuseconnection \
     rekeylimit requiredrsasize revokedhostkeys securitykeyprovider userknownhostsfile verifyhostkeydns \
     versionaddendum"];

/// What OpenSSH is always called with, for the host and for whatever hosts it goes through: these come before the user's
/// config, and in OpenSSH the first word counts.
pub(super) const ALWAYS: &[(&str, &str)] = &[
    ("StrictHostKeyChecking", "yes"),
    ("NoHostAuthenticationForLocalhost", "no"),
    ("BatchMode", "yes"),
    ("ForwardAgent", "no"),
    ("ForwardX11", "no"),
    ("ClearAllForwardings", "yes"),
    ("PermitLocalCommand", "no"),
    ("RemoteCommand", "none"),
    ("UpdateHostKeys", "no"),
    ("ControlMaster", "no"),
    ("ControlPath", "none"),
    ("ControlPersist", "no"),
    ("ForkAfterAuthentication", "no"),
    ("RequestTTY", "no"),
    ("Tunnel", "no"),
    ("ServerAliveInterval", "15"),
    ("ServerAliveCountMax", "3"),
    ("ConnectTimeout", "20"),
    ("LogLevel", "INFO"),
];

fn options(list: &[&'static str]) -> impl Iterator<Item = &'static str> {
    list.iter().flat_map(|line| line.split_whitespace())
}

/// How people write it, for those that one is likely to meet.
fn spelt(option: &str) -> &str {
    const SPELT: &str = "AddressFamily BindAddress BindInterface CertificateFile CheckHostIP Ciphers Compression \
        GlobalKnownHostsFile GSSAPIAuthentication HostbasedAuthentication HostKeyAlgorithms HostKeyAlias IdentityAgent IPQoS \
        KexAlgorithms KnownHostsCommand MACs NoHostAuthenticationForLocalhost PKCS11Provider PreferredAuthentications ProxyCommand \
        PubkeyAcceptedAlgorithms PubkeyAuthentication RevokedHostKeys SecurityKeyProvider UserKnownHostsFile VerifyHostKeyDNS";
    SPELT.split_whitespace().find(|name| name.eq_ignore_ascii_case(option)).unwrap_or(option)
}

/// Why this option, said in a config, is for OpenSSH; `None` where the built-in client does as it says.
pub(super) fn reason(option: &str, kerberos: bool) -> Option<String> {
    if options(UNDERSTOOD).any(|known| known == option) {
        return None;
    }
    // Debian's config has GSSAPI for everybody; `ssh` cannot use it either without a ticket.
    if option.starts_with("gssapi") && !kerberos {
        return None;
    }
    Some(spelt(option).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options of ssh_config(5) of OpenSSH 10.2, and those that Debian adds (its GSSAPI key exchange).
    const MANUAL: &str = "AddKeysToAgent AddressFamily BatchMode BindAddress BindInterface CanonicalDomains \
        CanonicalizeFallbackLocal CanonicalizeHostname CanonicalizeMaxDots CanonicalizePermittedCNAMEs \
        CASignatureAlgorithms CertificateFile ChannelTimeout CheckHostIP Ciphers ClearAllForwardings Compression \
        ConnectionAttempts ConnectTimeout ControlMaster ControlPath ControlPersist DynamicForward \
        EnableEscapeCommandline EnableSSHKeysign EscapeChar ExitOnForwardFailure FingerprintHash \
        ForkAfterAuthentication ForwardAgent ForwardX11 ForwardX11Timeout ForwardX11Trusted GatewayPorts \
        GlobalKnownHostsFile GSSAPIAuthentication GSSAPIClientIdentity GSSAPIDelegateCredentials \
        GSSAPIKexAlgorithms GSSAPIKeyExchange GSSAPIRenewalForcesRekey GSSAPIServerIdentity GSSAPITrustDns \
        HashKnownHosts Host HostbasedAcceptedAlgorithms HostbasedAuthentication HostKeyAlgorithms HostKeyAlias \
        Hostname IdentitiesOnly IdentityAgent IdentityFile IgnoreUnknown Include IPQoS \
        KbdInteractiveAuthentication KbdInteractiveDevices KexAlgorithms KnownHostsCommand LocalCommand \
        LocalForward LogLevel LogVerbose MACs Match NoHostAuthenticationForLocalhost NumberOfPasswordPrompts \
        ObscureKeystrokeTiming PasswordAuthentication PermitLocalCommand PermitRemoteOpen PKCS11Provider Port \
        PreferredAuthentications ProxyCommand ProxyJump ProxyUseFdpass PubkeyAcceptedAlgorithms \
        PubkeyAuthentication RefuseConnection RekeyLimit RemoteCommand RemoteForward RequestTTY RequiredRSASize \
        RevokedHostKeys SecurityKeyProvider SendEnv ServerAliveCountMax ServerAliveInterval SessionType SetEnv \
        StdinNull StreamLocalBindMask StreamLocalBindUnlink StrictHostKeyChecking SyslogFacility Tag TCPKeepAlive \
        Tunnel TunnelDevice UpdateHostKeys User UserKnownHostsFile VerifyHostKeyDNS VersionAddendum VisualHostKey \
        WarnWeakCrypto XAuthLocation";

    #[test]
    fn s11_every_option_is_on_one_list() {
        let manual: Vec<String> = MANUAL.split_whitespace().map(str::to_ascii_lowercase).collect();
        for option in &manual {
            let times = options(UNDERSTOOD).chain(options(OF_OPENSSH)).filter(|known| known == option).count();
            assert_eq!(times, 1, "{option}");
        }
        for option in options(UNDERSTOOD).chain(options(OF_OPENSSH)) {
            assert!(manual.iter().any(|known| known == option), "{option} is no option");
        }
    }

    /// What the program of this computer knows and the lists do not would be a reason for OpenSSH, not an option dropped.
    #[test]
    fn s11_an_option_that_is_newer_than_we_are_is_a_reason() {
        assert_eq!(reason("hostname", false), None);
        assert_eq!(reason("proxycommand", false).as_deref(), Some("ProxyCommand"));
        assert_eq!(reason("unheardof", false).as_deref(), Some("unheardof"));
        assert_eq!(reason("gssapiauthentication", false), None, "without a ticket ssh cannot use it either");
        assert!(reason("gssapiauthentication", true).is_some());
    }
}
