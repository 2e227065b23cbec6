"""The console: pages made on the server, each in one frame.

A page is a handler that returns `frame.page(request, "noun/verb.html", …)` and stands in
`routes.PAGES`. Forms post back with the page's token (`{{ csrf }}`), which `gate` checks before the
handler runs; the handler finds what was sent in `request[forms.FORM]`.
"""
