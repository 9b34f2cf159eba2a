"""Writes contact sheets of a manifest's videos, with what preprocessing keeps, as HTML pages."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2

from lussweep.data.preview import Look, Picture, outliers
from lussweep.data.sector import LOW_CONFIDENCE
from lussweep.store.files import whole_file
from lussweep.study.spec import Video

TITLE = "Preview of preprocessing"
VIDEOS_PER_PAGE = 100

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1040px;
  padding: 0 1rem; color: #1a1a1a; background: #fff }
.warning { border-left: 4px solid #c00; padding: .4rem .8rem; background: #fdf0f0 }
.video { margin: 1.2rem 0; border-top: 1px solid #ccc; padding-top: .6rem }
.video img { margin-right: 6px; vertical-align: top; max-width: 32% }
h2 { font-size: 1rem; margin: 0 0 .2rem; overflow-wrap: anywhere }
p { margin: .3rem 0 } li { overflow-wrap: anywhere }
.first { color: #a00000 } .key { font-weight: 600 }
"""


def write_preview(
    looked_at: Sequence[tuple[Video, Look]],
    refused: Sequence[tuple[str, str, str]],
    path: Path,
) -> list[Path]:
    """Write one page for each VIDEOS_PER_PAGE videos: `path`, then the same name with -2, -3, ...

    `refused` holds (patient_id, video_id, reason) of videos that cannot be used. The pages hold
    their pictures and load nothing. Only the user may read them. Pages of an earlier preview that
    was longer are deleted, because they hold pictures of patients. Returns the paths.
    """
    devices = [video.device for video, _ in looked_at]
    reasons = _reasons([look for _, look in looked_at], devices)
    n_pages = max(1, -(-len(looked_at) // VIDEOS_PER_PAGE))
    paths = [_page_path(path, page) for page in range(n_pages)]
    for page, place in enumerate(paths):
        first = page * VIDEOS_PER_PAGE
        shown = range(first, min(first + VIDEOS_PER_PAGE, len(looked_at)))
        body = [
            _head(len(looked_at), page, paths),
            _look_first(looked_at, reasons, refused, paths) if page == 0 else "",
            *(_video(i, *looked_at[i], reasons[i]) for i in shown),
        ]
        with whole_file(place, private=True) as scratch:
            scratch.write_text(_document("".join(body)), encoding="utf-8")
    page = n_pages
    while _is_preview(old := _page_path(path, page)):
        old.unlink()
        page += 1
    return paths


def _is_preview(path: Path) -> bool:
    """Whether a file is a page of a preview. It may be a file of the user instead."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f"<title>{TITLE}<".encode() in file.read(1000)


def _reasons(looks: Sequence[Look], devices: Sequence[str]) -> list[list[str]]:
    """The reasons, by video, why a person should look at it first; empty without a reason."""
    reasons: list[list[str]] = [[] for _ in looks]
    for i, look in enumerate(looks):
        if look.is_unsure:
            reasons[i].append(f"low confidence {look.sector.confidence:.2f}")
    for i in outliers(looks, devices):
        reasons[i].append("its crop differs from that of the other videos")
    return reasons


def _page_path(path: Path, page: int) -> Path:
    return path if page == 0 else path.with_name(f"{path.stem}-{page + 1}{path.suffix}")


def _document(body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{TITLE}</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _head(n_videos: int, page: int, paths: Sequence[Path]) -> str:
    links = " ".join(
        f"<b>{i + 1}</b>" if i == page else f'<a href="{escape(place.name)}">{i + 1}</a>'
        for i, place in enumerate(paths)
    )
    return (
        "<h1>What preprocessing keeps</h1>"
        '<p class="warning">This page shows pixels and ids of patients. Do not share it.</p>'
        f"<p>{n_videos} videos: first, middle and last frame of each. "
        '<span class="key">Blue</span>: the crop. <span class="key">Yellow</span>: the sector. '
        '<span class="key">Red shade</span>: what is blanked or cut off. '
        "Look for names and dates that no shade covers, and for tissue under a shade. Confidence "
        "is low if a trace, a clock or text may make the sector too wide, or if a shadow may hide "
        "a part of it.</p>" + (f"<p>Page {links}</p>" if len(paths) > 1 else "")
    )


def _look_first(
    looked_at: Sequence[tuple[Video, Look]],
    reasons: Sequence[Sequence[str]],
    refused: Sequence[tuple[str, str, str]],
    paths: Sequence[Path],
) -> str:
    """The list of videos that are unsure, unlike the others, or refused."""
    lines = [
        f'<li><a href="{escape(paths[i // VIDEOS_PER_PAGE].name)}#v{i}">'
        f"{_name(video.patient_id, video.video_id)}</a>: {escape('; '.join(why))}</li>"
        for i, ((video, _), why) in enumerate(zip(looked_at, reasons, strict=True))
        if why
    ]
    lines += [
        f"<li>{_name(patient_id, video_id)}: cannot be used: {escape(reason)}</li>"
        for patient_id, video_id, reason in refused
    ]
    if not lines:
        return "<h2>No video stands out</h2><p>Look at every video all the same.</p>"
    return f'<h2 class="first">Look at these {len(lines)} first</h2><ul>{"".join(lines)}</ul>'


def _video(i: int, video: Video, look: Look, why: Sequence[str]) -> str:
    width, height = look.size
    sector = look.sector
    first = f'<p class="first">{escape("; ".join(why))}</p>' if why else ""
    return (
        f'<div class="video" id="v{i}"><h2>{_name(video.patient_id, video.video_id)}</h2>'
        f"<p>{width} x {height}, {look.n_frames} frames, label {video.label}. "
        f"Crop {','.join(map(str, look.crop))}. Sector: {sector.shape} shape, confidence "
        f"{sector.confidence:.2f} (low below {LOW_CONFIDENCE}).</p>{first}"
        + "".join(_image(picture) for picture in look.pictures)
        + "</div>"
    )


def _name(patient_id: str, video_id: str) -> str:
    return f"patient {escape(patient_id)}, video {escape(video_id)}"


def _image(picture: Picture) -> str:
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    data = base64.b64encode(jpeg.tobytes()).decode("ascii")
    height, width = picture.shape[:2]
    return f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="">'
