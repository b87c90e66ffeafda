"""The app behind ``codeckit lab``: a picture, two codecs, and what becomes of it. Run by marimo, never imported."""

import marimo

app = marimo.App(width="full", app_title="codeckit lab")


@app.cell
def _():
    import marimo as mo
    from codeckit.bench import dataset
    from codeckit.codecs.image_io import EXTENSIONS
    from codeckit.codecs.registry import codec, entry, list_codecs
    from codeckit.pages import explain
    from codeckit.pages.lab_server import MAX_BYTES, read_upload

    return EXTENSIONS, MAX_BYTES, codec, dataset, entry, explain, list_codecs, mo, read_upload


@app.cell
def _(EXTENSIONS, MAX_BYTES, dataset, list_codecs, mo):
    names = [one.name for one in list_codecs() if one.available and "image" in one.media]
    samples = {image.name: image for image in dataset("sample")}
    upload = mo.ui.file(
        filetypes=list(EXTENSIONS), max_size=MAX_BYTES, label="a picture of yours (stays on this machine)"
    )
    sample = mo.ui.dropdown(list(samples), value="chelsea", label="or a sample")
    first = mo.ui.dropdown(names, value="jpeg", label="codec A")
    second = mo.ui.dropdown(["none", *names], value="webp", label="codec B")
    return first, names, sample, samples, second, upload


@app.cell
def _(entry, first, mo, second):
    def scale(name, label):
        """A slider over a codec's own quality scale."""
        low, high = (1, 1) if name == "none" else entry(name).quality
        middle = round(low + 0.6 * (high - low))
        high = max(high, low + 1)
        return mo.ui.slider(low, high, 1, value=middle, label=label, show_value=True, debounce=True)

    quality_a, quality_b = scale(first.value, "quality A"), scale(second.value, "quality B")
    return quality_a, quality_b


@app.cell
def _(first, mo, quality_a, quality_b, sample, second, upload):
    mo.vstack(
        [
            mo.md("# codeckit lab"),
            mo.hstack([upload, sample], justify="start", gap=2),
            mo.hstack([first, quality_a, second, quality_b], justify="start", gap=2, wrap=True),
        ]
    )
    return


@app.cell
def _(codec, entry, explain, first, mo, quality_a, quality_b, read_upload, sample, samples, second, upload):
    def configured(name, quality):
        low, high = entry(name).quality
        return codec(name, quality=quality) if low < high else codec(name)

    try:
        if upload.value:
            name, image = upload.value[0].name, read_upload(upload.value[0].contents)
        else:
            name, image = sample.value, samples[sample.value].load()
        codecs = [configured(first.value, quality_a.value)]
        if second.value != "none":
            codecs.append(configured(second.value, quality_b.value))
        shown = mo.iframe(explain(image, codecs, name=name, stages=False), height="2400px")
    except (ValueError, ImportError) as error:
        shown = mo.callout(str(error), kind="warn")
    shown
    return


if __name__ == "__main__":
    app.run()
