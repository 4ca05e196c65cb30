//! Builds a bundle: `build_bundle SOURCE ARCH CACHE-DIR [SHA256]`. Honours `MACHINE_DEBIAN_MIRROR`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::error::Error;

use machine_engine::{Arch, BuildEnv, Cache, Progress, Source, build};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(source), Some(arch), Some(dir)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: build_bundle SOURCE ARCH CACHE-DIR [SHA256]".into());
    };
    let (source, arch): (Source, Arch) = (source.parse()?, arch.parse()?);
    let mut env = BuildEnv::new();
    env.debian_mirror = std::env::var("MACHINE_DEBIAN_MIRROR").ok().map(|m| m.parse()).transpose()?;
    env.tgz_sha256 = args.next();
    let progress = |p: Progress| match p {
        Progress::Doing(what) => eprintln!("{what}"),
        Progress::Fetching { what, done, total: Some(total) } if done == total => {
            eprintln!("fetched {what}, {done} bytes")
        }
        Progress::Warning(what) => eprintln!("warning: {what}"),
        _ => (),
    };
    let bundle = match build(&source, arch, &Cache::new(dir.into()), &env, &progress).await {
        Ok(bundle) => bundle,
        Err(e) => {
            let mut cause: Option<&dyn Error> = Some(&e);
            while let Some(c) = cause {
                eprintln!("error: {c}");
                cause = c.source();
            }
            return Err(e.hint().unwrap_or_default().into());
        }
    };
    let m = &bundle.manifest;
    for c in &m.components {
        if c.kind != machine_engine::Kind::Module {
            println!("{:40} {:9} {} {}", c.path, c.size, c.version, c.from);
        }
    }
    println!(
        "{} {} glibc {:?}, host needs {:?}",
        m.name,
        m.digest,
        m.glibc_floor.map(|f| f.to_string()),
        m.host_libraries
    );
    println!("verified: {}", m.verified);
    println!("{} {:?}", bundle.archive().display(), m.archive);
    Ok(())
}
