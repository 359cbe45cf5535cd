"""The server: OpenAI's speech API, a page, a websocket and Wyoming over `Voice` (extra `serve`).

`portavoz serve` runs it; `portavoz.serve.app:create_app()` is the application by itself.
"""
