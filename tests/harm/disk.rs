//! File systems that a test makes: one on a disk whose power can be cut, and a small one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

/// The size of the disk whose power is cut.
const DISK_BYTES: u64 = 192 << 20;

/// Debian's own Python, for which its packages are.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a program that must succeed; gives what it printed.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let Output { status, stdout, stderr } = output.map_err(|err| format!("{program}: {err}"))?;
    let said = String::from_utf8_lossy(&stderr);
    if !status.success() {
        return Err(format!("{program} {arguments:?}: {status}: {}", said.trim()));
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Makes an empty file of so many bytes with an ext4 in it.
fn ext4_image(image: &Path, bytes: u64) -> Result<(), String> {
    let file = fs::File::create(image).map_err(|err| err.to_string())?;
    file.set_len(bytes).map_err(|err| err.to_string())?;
    let lazy = "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0";
    run("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", lazy, &shown(image)]).map(drop)
}

/// An ext4 on a disk with a volatile cache, whose power can be cut.
pub(crate) struct Disk {
    folder: PathBuf,
    up: Option<Up>,
}

struct Up {
    server: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    device: Option<String>,
}

impl Disk {
    /// A new disk with its files in `folder`.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub(crate) fn new(folder: &Path) -> Result<Self, String> {
        for name in ["fuse", "mounted"] {
            fs::create_dir_all(folder.join(name)).map_err(|err| err.to_string())?;
        }
        if !rustix::process::geteuid().is_root() {
            return Err("mounting needs root".to_owned());
        }
        if !Path::new("/dev/fuse").exists() {
            return Err("there is no /dev/fuse".to_owned());
        }
        run(PYTHON, &["-c", "import pyfuse3, trio"])
            .map_err(|why| format!("python3-pyfuse3 is not installed ({why})"))?;
        ext4_image(&folder.join("image"), DISK_BYTES)?;
        Ok(Self { folder: folder.to_owned(), up: None })
    }

    /// Where the file system is.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.folder.join("mounted")
    }

    /// Gives it power, and mounts what is on it.
    ///
    /// # Errors
    /// What this machine lacks for it, or that the file system is beyond repair.
    pub(crate) fn power_up(&mut self) -> Result<(), String> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harm/disk.py");
        let fuse = self.folder.join("fuse");
        let mut server = Command::new(PYTHON)
            .arg(program)
            .arg(&fuse)
            .arg(self.folder.join("image"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|err| err.to_string())?;
        let orders = server.stdin.take().ok_or("no way to give orders")?;
        let answers = BufReader::new(server.stdout.take().ok_or("no way to hear answers")?);
        let up = self.up.insert(Up { server, orders, answers, device: None });
        let ready = up.hear()?;
        if ready != "ready" {
            return Err(format!("the disk is not ready: {ready}"));
        }
        let device = run("losetup", &["--find", "--show", &shown(&fuse.join("disk"))])?;
        up.device = Some(device.clone());
        run("mount", &["-t", "ext4", "-o", "noatime", &device, &shown(&self.mounted())]).map(drop)
    }

    /// Gives an order to the disk; see `disk.py`.
    ///
    /// # Errors
    /// The disk is gone.
    pub(crate) fn order(&mut self, order: &str) -> Result<String, String> {
        let up = self.up.as_mut().ok_or("the disk has no power")?;
        writeln!(up.orders, "{order}").map_err(|err| err.to_string())?;
        up.hear()
    }

    /// Lets go of a disk without power: it can get some again.
    pub(crate) fn let_go(&mut self) {
        let Some(mut up) = self.up.take() else { return };
        drop(run("umount", &["--lazy", &shown(&self.mounted())]));
        if let Some(device) = &up.device {
            drop(run("losetup", &["--detach", device]));
        }
        drop(run("umount", &["--lazy", &shown(&self.folder.join("fuse"))]));
        drop(up.orders);
        drop(up.server.kill());
        drop(up.server.wait());
    }
}

impl Up {
    fn hear(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|err| err.to_string())?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// A small file system of its own.
pub(crate) struct Small {
    mounted: PathBuf,
}

impl Small {
    /// An ext4 of so many bytes on a loop device, else a tmpfs, in `folder`.
    ///
    /// # Errors
    /// This machine lets nobody mount either.
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Result<Self, String> {
        let (image, mounted) = (folder.join("image"), folder.join("mounted"));
        fs::create_dir_all(&mounted).map_err(|err| err.to_string())?;
        let looped = ext4_image(&image, bytes)
            .and_then(|()| run("mount", &["-o", "loop", &shown(&image), &shown(&mounted)]));
        if let Err(why) = looped {
            let size = format!("size={bytes}");
            let mount = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &shown(&mounted)]);
            mount.map_err(|err| format!("{why}; {err}"))?;
        }
        Ok(Self { mounted })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(run("umount", &["--lazy", &shown(&self.mounted)]));
    }
}
