"""`crashlab completion`: the script that lets a shell complete crashlab's commands, options and names."""

import click
from click.shell_completion import get_completion_class

from crashlab.cli.options import examples
from crashlab.errors import UsageError, did_you_mean

VARIABLE = "_CRASHLAB_COMPLETE"
"""Set by the script when the shell asks; click answers to it before any command runs."""

INSTALL = {
    "bash": "echo 'eval \"$(crashlab completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(crashlab completion zsh)\"' >> ~/.zshrc",
    "fish": "crashlab completion fish > ~/.config/fish/completions/crashlab.fish",
}


@click.command(
    short_help="Print the script that completes crashlab in a shell.",
    epilog=examples("crashlab completion bash", 'eval "$(crashlab completion bash)"', "crashlab completion fish"),
)
@click.argument("shell", metavar="bash|zsh|fish")
def completion(shell: str) -> int:
    """Print the script that completes commands, options and the names of subjects and exhibits in a shell.

    \b
    To install it:
      bash  echo 'eval "$(crashlab completion bash)"' >> ~/.bashrc      (4.4 or later)
      zsh   echo 'eval "$(crashlab completion zsh)"' >> ~/.zshrc
      fish  crashlab completion fish > ~/.config/fish/completions/crashlab.fish
    """
    from crashlab.cli.main import cli

    if shell not in INSTALL:
        raise UsageError(f"unknown shell {shell!r}; known: {', '.join(INSTALL)}{did_you_mean(shell, INSTALL)}")
    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"this click cannot complete in {shell}; update it")
    click.echo(kind(cli, {}, "crashlab", VARIABLE).source())
    click.echo(f"# to install: {INSTALL[shell]}")  # last: zsh wants its own first line
    return 0
