"""What a project's repository says to GitHub or GitLab: check and test each change, submit what is merged.

A change is checked (`sluice check`), its own tests run, and its pipeline runs once on a part of the rows, without a
cluster. On the default branch the project is submitted, where the repository has a kubeconfig.
"""

from pathlib import Path

from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.core.words import near
from sluice.project.files import find_project

GITHUB, GITLAB = "github", "gitlab"
_GITHUB = """\
# Written by `sluice init --ci github`; yours to change.
name: sluice
on:
  push: {branches: [main]}
  pull_request:
permissions: {contents: read}
jobs:
  check:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.13"}
      # The variable SLUICE names the package where it is not on your index: a wheel, or a repository.
      - run: pip install "${SLUICE:-sluice[all]}" pytest
        env: {SLUICE: "${{ vars.SLUICE }}"}
      - run: sluice check
      - run: if [ -d tests ]; then pytest -q tests; fi
      - run: sluice run -p sample_fraction=@SHARE@ --json | tee result.json
      - uses: actions/upload-artifact@v4
        if: always()
        with: {name: report, path: .sluice/reports, include-hidden-files: true}
  submit:
    needs: check
    if: github.ref == 'refs/heads/main' && vars.SLUICE_NAMESPACE != ''
    runs-on: ubuntu-latest
    environment: @ENVIRONMENT@
    concurrency: submit
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.13"}
      - run: pip install "${SLUICE:-sluice[all]}"
        env: {SLUICE: "${{ vars.SLUICE }}"}
      - run: |
          umask 077 && printf '%s' "$KUBECONFIG_TEXT" > "$RUNNER_TEMP/kubeconfig"
          KUBECONFIG="$RUNNER_TEMP/kubeconfig" sluice submit --namespace "$NAMESPACE"
        env:
          KUBECONFIG_TEXT: ${{ secrets.KUBECONFIG }}
          NAMESPACE: ${{ vars.SLUICE_NAMESPACE }}
"""
_GITLAB = """\
# Written by `sluice init --ci gitlab`; yours to change.
default:
  image: python:3.13
  interruptible: true
  before_script:
    # The variable SLUICE names the package where it is not on your index: a wheel, or a repository.
    - pip install "${SLUICE:-sluice[all]}" pytest
stages: [check, submit]
check:
  stage: check
  timeout: 30 minutes
  script:
    - sluice check
    - if [ -d tests ]; then pytest -q tests; fi
    - sluice run -p sample_fraction=@SHARE@ --json | tee result.json
  artifacts:
    when: always
    paths: [.sluice/reports, result.json]
submit:
  stage: submit
  needs: [check]
  environment: @ENVIRONMENT@
  resource_group: submit
  interruptible: false
  rules:
    # SLUICE_NAMESPACE is a variable of the project, KUBECONFIG one of the type "file".
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $SLUICE_NAMESPACE
  script:
    - sluice submit --namespace "$SLUICE_NAMESPACE"
"""
TEMPLATES = {GITHUB: (".github/workflows/sluice.yaml", _GITHUB), GITLAB: (".gitlab-ci.yml", _GITLAB)}
_SHARE, _ENVIRONMENT = "0.2", "staging"


def ci_text(where: str) -> tuple[str, str]:
    """The file's place in the repository, and its text.

    Raises:
        BadInput: There is no template of that name.
    """
    if where not in TEMPLATES:
        raise BadInput(f"--ci {where!r} is unknown{near(where, list(TEMPLATES))}; there are {', '.join(TEMPLATES)}")
    place, text = TEMPLATES[where]
    return place, text.replace("@SHARE@", _SHARE).replace("@ENVIRONMENT@", _ENVIRONMENT)


def add_ci(folder: Path, where: str) -> Path:
    """Write the file into a project's folder, which is taken for the repository's.

    Args:
        folder: In the project.
        where: `github` or `gitlab`.

    Raises:
        BadInput: There is no such template or project, or the file is there already.
        EnvironmentFault: The disk is full or denies access.
    """
    place, text = ci_text(where)
    path = find_project(folder).parent / place
    if path.exists():
        raise BadInput(f"{path} is there already, and nothing is overwritten; move it away")
    with faults(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path
