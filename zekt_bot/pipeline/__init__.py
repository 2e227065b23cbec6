"""One event's way, a file a step, in the order in which they happen.

1. `verify`     bytes and headers in, a verified webhook out; no I/O
2. `store`      one row, before GitHub hears 202
3. `route`      which step an inbox row belongs to
4. `collect`    runs and jobs out of webhooks
5. `aggregate`  a finished run and its messages become envelopes, most of them matched at once
6. `match`      an envelope that waits becomes deliveries
7. `render`     what is sent, as bytes; pure
8. `deliver`    policy again, POST, record

`missed_webhooks` and `missed_runs` read from GitHub what never came, and `store` it
(`hook_list` reads GitHub's list of deliveries, `recovery` is what both share).
`pages` runs a step on a page of rows, `fan_out` makes the deliveries of a page of subscribers.
`permit` asks the policy about a delivery, `doubt` asks GitHub about a consumer that it let nothing
through to. `prove` says what a consumer's run may prove about a delivery.
"""
