"""Pictures of explorers, for notebooks read without a kernel."""

import base64
import io


def render(figure):
    """The PNG bytes of a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def bundle(explorer):
    """The live widget, and a still picture and a sentence for where there is no kernel."""
    live = explorer.box._repr_mimebundle_()
    live, metadata = live if isinstance(live, tuple) else (live, {})
    picture = {
        "image/png": base64.b64encode(explorer.picture.value).decode(),
        "text/plain": explorer.summary(),
    }
    return {**live, **picture}, metadata
