"""A synthetic world over HTTP: tiles, pictures, and a page to look at it."""

from text2earth.serving.app import create_app
from text2earth.serving.running import listen, serve
from text2earth.serving.settings import ServerSettings
from text2earth.serving.studio import Studio
from text2earth.serving.worlds import Area, Chosen, ServedWorld

__all__ = ["Area", "Chosen", "ServedWorld", "ServerSettings", "Studio", "create_app", "listen", "serve"]
