"""Completion in real shells: the script is loaded, and asked as the shell asks it."""

import os
import shutil
import subprocess
import sys

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="these shells are POSIX's")
SETUP = """
eval "$(crashlab completion bash)"
complete -p crashlab >/dev/null || exit 9
"""
ASK = """
COMP_WORDS=({words}); COMP_CWORD={place}; COMPREPLY=()
_crashlab_completion crashlab
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def shell(project):
    """Run a script in a shell whose PATH has this crashlab."""
    program = project.directory / "crashlab"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from crashlab.cli import main; main()" "$@"\n')
    program.chmod(0o755)

    def run(name, script):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        done = subprocess.run(
            [name, "-c", script],
            cwd=project.directory,
            env={**os.environ, "PATH": f"{project.directory}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()

    return run


@posix
def test_bash_completes(shell):
    asked = {
        "crashlab do": "doctor",
        "crashlab gate --subject ra": "raises",
        "crashlab run --format nd": "ndjson",
        "crashlab repro a1-k": "a1-kill",
        "crashlab reduce --tr": "--tries",
    }
    script = SETUP + "".join(ASK.format(words=words, place=len(words.split()) - 1) for words in asked)
    assert shell("bash", script) == list(asked.values())


@posix
def test_fish_completes(shell):
    script = 'crashlab completion fish | source; complete --do-complete "crashlab repro a1-k"'
    assert "a1-kill" in shell("fish", script)


@posix
def test_zsh_takes_the_script(shell):
    assert shell(
        "zsh", 'autoload -U compinit && compinit -D -u; eval "$(crashlab completion zsh)"; echo $_comps[crashlab]'
    ) == ["_crashlab_completion"]


def test_a_broken_configuration_completes_nothing_and_says_nothing(crashlab, project, monkeypatch):
    project.write("no TOML")
    for name, value in {
        "_CRASHLAB_COMPLETE": "bash_complete",
        "COMP_WORDS": "crashlab gate --subject ",
        "COMP_CWORD": "3",
    }.items():
        monkeypatch.setenv(name, value)
    answer = crashlab()
    assert (answer.out.strip(), answer.err) == ("", "")


@pytest.mark.parametrize(
    ("args", "said"), [(["bsh"], "did you mean 'bash'?"), ([], "Missing argument 'bash|zsh|fish'")]
)
def test_bad_input(refused, args, said):
    assert said in refused("completion", *args)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_says_how_to_install_it(crashlab, name):
    answer = crashlab("completion", name)
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("# to install: ")
    assert f"crashlab completion {name}" in answer.out.splitlines()[-1]
