//! What is made from the command line itself: the reference, man pages, completions.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::home::{Home, stdout, text};
use crate::machine::{names, run, said};

#[test]
fn the_reference_in_the_documentation_is_that_of_this_program() {
    let page = stdout(&Home::new().run(&["reference"]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMMANDS.md");
    let committed = fs::read_to_string(path).expect("docs/COMMANDS.md");
    assert!(
        page == committed,
        "docs/COMMANDS.md is out of date: `drivemount reference > docs/COMMANDS.md` writes it again"
    );
}

#[test]
fn each_command_has_a_man_page() {
    let home = Home::new();
    let output = home.run(&["man", text(&home.at("man1"))]);
    assert!(output.status.success(), "{}", said(&output));
    let pages = names(home.at("man1"));
    for page in ["drivemount.1", "drivemount-mount.1", "drivemount-doctor.1", "drivemount-serve.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} is not in {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("daemon") || page.contains("reference")), "{pages:?}");
    assert!(stdout(&output).contains(&format!("wrote {} pages", pages.len())), "{}", said(&output));
    let page = fs::read_to_string(home.at("man1/drivemount-mount.1")).expect("page");
    assert!(page.contains("\\-\\-cache\\-size") && page.contains("DRIVEMOUNT_CACHE_SIZE"), "{page}");
    assert!(stdout(&home.run(&["man"])).contains(".TH drivemount 1"));
}

#[test]
fn bash_completes_commands_and_flags() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = home.run(&["completions", shell]);
        assert!(output.status.success(), "{}", said(&output));
        let script = stdout(&output);
        assert!(script.contains("cache-size") && script.contains("unmount"), "{shell}: {script}");
        assert!(!script.contains("daemon"), "{shell} offers a command that nobody is to use");
        home.write(shell, &script);
    }
    let ask = "source \"$1\"; COMP_WORDS=(drivemount \"$2\" \"$3\"); COMP_CWORD=${4}; _drivemount drivemount \"${COMP_WORDS[$4]}\" \"${COMP_WORDS[$4 - 1]}\"; echo \"${COMPREPLY[@]}\"";
    let offered = |words: [&str; 3]| {
        let mut command = Command::new("bash");
        stdout(&run(command.args(["-c", ask, "bash"]).arg(home.at("bash")).args(words)))
    };
    assert_eq!(offered(["unm", "", "1"]).trim(), "unmount");
    assert_eq!(offered(["mount", "--cache-s", "2"]).trim(), "--cache-size");
}
