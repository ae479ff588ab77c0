"""What is shown in a notebook: HTML that needs no style sheet, on light ground and on dark."""

from __future__ import annotations

import secrets
from html import escape
from typing import TYPE_CHECKING

from ._text import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._status import Item, Status

#: Entries shown one by one.
_SHOWN = 5

# Ink is inherited, lines and grounds are half transparent: so it suits both a light and a dark theme.
_TABLE = "border-collapse:collapse;border:0;margin:.3em 0;font-size:13px;line-height:1.45;text-align:left"
_NAME = (
    "text-align:left;vertical-align:top;padding:3px 16px 3px 0;border:0;border-top:1px solid rgba(128,128,128,.25);"
    "font-weight:normal;opacity:.7;white-space:nowrap"
)
_VALUE = (
    "text-align:left;vertical-align:top;padding:3px 0;border:0;border-top:1px solid rgba(128,128,128,.25);"
    "white-space:normal;overflow-wrap:anywhere"
)
# Where printed text begins, too.
_LINE = "font-size:13px;padding-left:8px"
_GOOD, _BUSY, _BAD = "#2e9e5b", "#c98500", "#d64541"


def status(status: Status) -> str:
    """Draw a small table of a mount: what is at risk first."""
    rows = "".join(
        f'<tr style="background:none"><th style="{_NAME}">{name}</th><td style="{_VALUE}">{value}</td></tr>'
        for name, value in _rows(status)
    )
    where = escape(status.mountpoint)
    head = (
        f'<tr style="background:none"><td colspan="2" style="text-align:left;border:0;padding:3px 0"><b>{where}</b>'
        f'<span style="opacity:.7"> · {escape(status.source)} · {escape(", ".join(status.words()))}</span></td></tr>'
    )
    return f'<table style="{_TABLE}">{head}{rows}</table>'


def _rows(status: Status) -> Iterator[tuple[str, str]]:
    unsent, cache, drive, traffic = status.unsent, status.cache, status.drive, status.traffic
    color = _GOOD if status.synced else _BAD if any(item.state == "refused" for item in unsent.items) else _BUSY
    yield "At risk", f'<span style="color:{color}">●</span> <b>{escape(_capital(status.risk()))}</b>'
    if unsent.items:
        more = unsent.entries - _SHOWN
        rest = f'<div style="opacity:.7">and {more} more</div>' if more > 0 else ""
        yield "Transfers", "".join(map(_item, unsent.items[:_SHOWN])) + rest
    notices = "".join(f"<div>{escape(_capital(line))}</div>" for line in status.notices())
    if notices:
        yield "Kept", notices
    yield "Traffic", f"{size(traffic.downloaded_bytes)} received, {size(traffic.uploaded_bytes)} sent"
    yield "Cache", f"{_meter(cache.used_bytes, cache.cap_bytes)}{size(cache.used_bytes)} of {size(cache.cap_bytes)}"
    if drive.total_bytes is None:
        yield "Drive", f"{size(drive.used_bytes)} used, no limit"
    else:
        meter = _meter(drive.used_bytes, drive.total_bytes, warn=True)
        yield "Drive", f"{meter}{size(drive.used_bytes)} of {size(drive.total_bytes)} used"
    sign_in = status.sign_in
    if sign_in is None:
        yield "Account", escape(status.account)
    else:
        said = escape(f"{sign_in.reason}; {sign_in.remedy}")
        here = f"In this notebook: <code>{escape(status.login_line())}</code>"
        red = f'<b style="color:{_BAD}">Sign-in required:</b>'
        yield "Account", f"{escape(status.account)}<div>{red} {said}</div><div>{here}</div>"


def _item(item: Item) -> str:
    words = item.state
    if item.bytes:
        words += f", {size(item.sent)} of {size(item.bytes)}" if item.sent else f", {size(item.bytes)}"
    reason = ""
    if item.reason:
        again = "" if item.retry_in_seconds is None else f"; again in {item.retry_in_seconds} s"
        color = _BAD if item.state == "refused" else _BUSY
        reason = f'<div style="color:{color};padding-left:1em">{escape(item.reason + again)}</div>'
    meter = _meter(item.sent, item.bytes) if item.sent else ""
    return f'<div>{meter}<code>{escape(item.path)}</code> <span style="opacity:.7">{escape(words)}</span></div>{reason}'


def _meter(part: int, whole: int, *, warn: bool = False) -> str:
    share = min(1.0, part / whole) if whole > 0 else 0.0
    color = _BAD if warn and share > 0.97 else _BUSY if warn and share > 0.85 else "#4a86e8"
    width = max(share * 100, 1.5 if part > 0 else 0)
    return (
        '<span style="display:inline-block;width:90px;height:8px;margin-right:8px;border-radius:4px;overflow:hidden;'
        f'background:rgba(128,128,128,.25)"><span style="display:block;height:8px;width:{width:.1f}%;'
        f'background:{color}"></span></span>'
    )


def bar(label: str, share: float, words: str) -> str:
    """Draw a bar of work that goes on; a share below 0 means that nobody knows how much there is."""
    meter = "" if share < 0 else _meter(round(share * 1000), 1000)
    return f'<div style="{_LINE}">{meter}{escape(label)} <span style="opacity:.7">{escape(words)}</span></div>'


def link(url: str, message: str) -> str:
    """Show where to sign in."""
    note = f'<div style="color:{_BAD}">{escape(_capital(message))}</div>' if message else ""
    return (
        f'<div style="font-size:14px;line-height:1.6;padding-left:8px">{note}'
        f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer" '
        'style="font-weight:bold">Sign in to your drive</a> (opens a new tab)'
        '<div style="opacity:.8">When you have allowed access, this goes on by itself if the browser runs on this machine. Else '
        "the browser ends at a page that cannot be loaded: copy its address (<code>http://127.0.0.1…</code>) into the box "
        "below, and press Enter.</div></div>"
    )


def press_enter(text: str) -> str:
    """Show a line, and press Enter in the box below it, where scripts are run: in JupyterLab, Notebook 7 and their kin."""
    mark = f"drivemount-{secrets.token_hex(8)}"
    script = (
        f'setTimeout(function(){{var at=document.getElementById("{mark}");'
        'var cell=at&&at.closest(".jp-OutputArea,.output_wrapper");if(!cell)return;'
        'cell.querySelectorAll("input.jp-Stdin-input,input.raw_input").forEach(function(box){'
        'box.value="";box.dispatchEvent(new KeyboardEvent("keydown",'
        '{key:"Enter",code:"Enter",keyCode:13,which:13,bubbles:true,cancelable:true}));});},50);'
    )
    return f'<div id="{mark}">{note(text)}</div><script>{script}</script>'


def note(text: str) -> str:
    """Show a line."""
    return f'<div style="{_LINE}">{escape(text)}</div>'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
