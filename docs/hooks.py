"""Hooks of MkDocs: pages from files of the repository's root, and links that lead out of docs/.

The same files are read on the code host, where their links lead to files. So links are rewritten here, not there.
"""

import re
from pathlib import Path
from posixpath import join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the root and their pages."""
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
"""Target of a link or an image in Markdown, without addresses and pure anchors."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and what any page links to outside of docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for page_file in list(files.documentation_pages()):
        for target in _targets(page_file.src_uri, page_file.content_string):
            if files.get_file_from_path(_place(target)) is None and (ROOT / target).exists():
                files.append(_add(config, target))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links to files of the repository as links between pages."""
    here = page.file.src_uri

    def rewrite(match: re.Match[str]) -> str:
        return relpath(_place(_resolve(here, match[1])), normpath(join(here, "..")))

    return _LINK.sub(rewrite, markdown)


def _targets(page: str, markdown: str) -> set[str]:
    return {_resolve(page, link) for link in _LINK.findall(markdown)}


def _resolve(page: str, link: str) -> str:
    """Return the path from the repository's root that a link on `page` names."""
    sources = {target: source for source, target in PAGES.items()}
    return normpath(join("docs", page, "..", link) if page not in sources else link)


def _place(target: str) -> str:
    """Return where the site has a file of the repository."""
    if (ROOT / target).is_dir():
        target = f"{target}/index.md"
    return PAGES.get(target) or target.removeprefix("docs/")


def _add(config: MkDocsConfig, target: str) -> File:
    """Return the file itself, or for a folder a page that lists its files."""
    path = ROOT / target
    if path.is_file():
        return File.generated(config, _place(target), abs_src_path=str(path))
    names = sorted(one.name for one in path.iterdir() if one.is_file())
    content = f"# {path.name}\n\n" + "".join(f"- [{name}]({name})\n" for name in names)
    return File.generated(config, _place(target), content=content)
