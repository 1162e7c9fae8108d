"""The token formats that services publish, as tables.

Lengths are the published ones; a format without one has the shortest length that was seen. A format is tried in a text
only where a word begins with one of its prefixes, or where one of its infixes stands in a long word.
"""

import re
from typing import NamedTuple


class Format(NamedTuple):
    """A kind of token; group 1 (or the last group that matched) of `pattern` is the token."""

    kind: str
    prefixes: tuple[bytes, ...]  # of a word, three bytes or more
    infixes: tuple[bytes, ...]  # of a long word
    pattern: re.Pattern[bytes]
    is_specific: bool  # whether the pattern alone makes sure that it is a token; otherwise it must look random, too


WEB_TOKEN = "JSON web token"
# A token begins behind anything but a letter or digit, or behind an escape in a string: "\nghp_...".
_BEGIN = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_END = rb"(?![A-Za-z0-9])"

# kind, prefixes, least length of the tail of letters, digits, `_` and `-`
_PREFIXED = (
    ("GitHub token", "github_pat_", 36),
    ("GitLab token", "glft- glffct- glwt- glcbt- gldt- glrtr-", 20),
    ("GitLab token", "_gitlab_session=", 32),
    ("model service key", "sk-proj- sk-svcacct- sk-admin- sk-None- sk-or-v1- sk-lf- sk-helicone-", 24),
    ("model service key", "xai- pplx- nvapi- r8_ tgp_v1_ fw_ csk- jina_ tvly- fc- pcsk_ nk- voyage-", 24),
    ("model service key", "lsv2_pt_ lsv2_sk_ wandb_v1_ cohere_ sk_car_ vapi_ dsk_ e2b_ rpa_ dtn_ ctx7sk-", 24),
    ("Shopify token", "shpat_ shpca_ shppa_ shpss_ shpua_ shptka_ shpltm_ shltm_ shprt_", 32),
    ("Grafana token", "glsa_ glc_", 30),
    ("Linear token", "lin_api_ lin_oauth_ lin_wh_", 32),
    ("Notion token", "secret_ ntn_", 40),
    ("Figma token", "figd_ figo_ figu_ figr_ figdr_ figoh_ figur_", 36),
    ("Supabase key", "sbp_ sb_secret_", 24),
    ("Vercel token", "vcp_ vci_ vca_ vcr_ vck_ vercel_blob_rw_", 24),
    ("Cloudflare token", "cfut_ cfat_ cfk_", 32),
    ("PlanetScale token", "pscale_tkn_ pscale_pw_ pscale_oauth_", 32),
    ("Fly.io token", "fo1_", 32),
    ("Vault token", "hvs. hvb. hvr.", 20),
    ("hosting token", "rnd_ nfp_ napi_ HRKU- dckr_pat_ dckr_oat_ ddp_ ddo_ tskey- ngrok_ pul- koyeb_ upcloud_", 24),
    ("deployment token", "CCIPAT_ CCIPRJ_ bkua_ bkpt_ bkct_ pnu_ pnb_ scp-live- scp-test- hawk. ion_", 20),
    ("code service token", "squ_ sqp_ sqa_ snyk_uat. snyk_sat. ATATT3 ATCTT3 ATBB ATSTT3 ATTA nx-cloud_", 24),
    ("npm token", "npm_", 36),
    ("registry token", "rubygems_ CLOJARS_ cio oy2 AKCp glpkg_ tea_", 32),
    ("mail service key", "xkeysib- xsmtpsib- re_ mlsn. key-", 32),
    ("monitoring key", "NRAK- NRII- NRRA- NRIQ- phx_ ddapp_ dda_ hcaik_ hcxik_ glitchtip_ dt0c02.", 27),
    ("payment key", "whsec_ rzp_live_ rzp_test_ shippo_live_ shippo_test_ sk_org_ FLWSECK- FLWSECK_TEST-", 12),
    ("payment key", "ak_live_ flb_live_", 20),
    ("payment key", "duffel_test_ duffel_live_ sq0atp- sq0csp- EAAA access_token$production$", 22),
    (
        "service token",
        "tfp_ rdme_ ico- fio-u- p8e- CFPAT- PMAK- aio_ sm_aat_ sm_pat_ sm_sat_ apify_api_ waka_ BBFF-",
        28,
    ),
    ("service token", "posthog_ tr_dev_ tr_prod_ signkey- sbs_ pdl_ dp-at- tkn.v1_", 32),
    (
        "service token",
        "odt_ mdb_sa_sk_ storecove_ supernotes_ bb_live_ frp_ pypl_ cal_live_ whop_ polar_oat_ polar_pat_",
        32,
    ),
)
# kind, prefixes, pattern
_SPECIFIC = (
    ("AWS key", "AKIA ASIA ABIA ACCA", rb"((?:AKIA|ASIA|ABIA|ACCA)(?![A-Z0-9]{9}EXAMPLE)[A-Z2-7]{16})" + _END),
    ("AWS key", "ABSK", rb"(ABSK[A-Za-z0-9+/]{109,269}={0,2})"),
    # The beginning is the base64 form of `bedrock.amazonaws.com`.
    ("AWS key", "bedrock-api-key-", rb"(bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/=]{0,4000})"),
    ("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rb"(gh[pousr]_(?:[A-Za-z0-9]{36,255}|[0-9]{1,20}_ey[\w.-]{40,4000}))"),
    ("GitLab token", "glpat- glrt-", rb"(gl(?:pat|rt)-[\w-]{20,300}(?:\.[0-9a-z.]{8,20})?)"),
    ("model service key", "sk-ant-", rb"(sk-ant-[a-z]{3,6}[0-9]{2,3}-[\w-]{80,110}AA)(?![\w-])"),
    ("GitLab token", "gloas-", rb"(gloas-[\w-]{64})(?![\w-])"),
    ("GitLab token", "glptt-", rb"(glptt-[\w-]{40})(?![\w-])"),
    ("GitLab token", "glimt-", rb"(glimt-[\w-]{25})(?![\w-])"),
    ("GitLab token", "glsoat- GR1348941", rb"((?:glsoat-|GR1348941)(?=[\w-]{0,49}[0-9])[\w-]{20,50})(?![\w-])"),
    ("GitLab token", "glagent-", rb"(glagent-(?=[\w-]{0,60}[0-9])[\w-]{50,64})(?![\w-])"),
    ("Slack token", "xapp-", rb"(xapp-[0-9]-[A-Za-z0-9-]{20,250})"),
    ("Google key", "AIza", rb"(AIza[\w-]{35})(?![\w-])"),
    ("Google key", "GOCSPX- ya29. AQ.Ab", rb"(GOCSPX-[\w-]{28}|ya29\.[\w-]{20,300}|AQ\.Ab[\w-]{40,100})"),
    (
        "Stripe key",
        "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ rk_prod_",
        rb"([sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,255})",
    ),
    ("PyPI token", "pypi-Ag", rb"(pypi-Ag[EN][\w-]{85,1000})"),
    ("model service key", "sk_", rb"(sk_[0-9a-f]{48})" + _END),
    ("age key", "AGE-SECRET-KEY-", rb"(AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50,70})"),
    ("age key", "AGE-PLUGIN-", rb"(AGE-PLUGIN-[A-Z0-9]+-1[0-9A-Z]{50,100})"),
    ("DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", rb"(do[opr]_v1_[0-9a-f]{64})" + _END),
    ("Doppler token", "dp.", rb"(dp\.(?:pt|st|ct|sa|scim|audit|said)\.(?:[\w-]{2,35}\.)?[A-Za-z0-9]{40,44})" + _END),
    ("Cloudflare token", "v1.0-", rb"(v1\.0-[0-9a-f]{24,64}(?:-[0-9a-f]{64,160}){1,2})" + _END),
    ("Databricks token", "dapi dkea dose", rb"((?:dapi|dkea|dose)[0-9a-f]{32}(?:-[0-9])?)" + _END),
    ("Dynatrace token", "dt0", rb"(dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64})" + _END),
    ("Sentry token", "sntryu_", rb"(sntryu_[0-9a-f]{64})" + _END),
    ("Sentry token", "sntrys_eyJ", rb"(sntrys_eyJ[\w+/=-]{40,600})"),
    ("Harness token", "pat. sat.", rb"([ps]at\.[\w-]{22}\.[0-9a-zA-Z]{24}\.[0-9a-zA-Z]{20})" + _END),
    ("Airtable token", "pat", rb"(pat[A-Za-z0-9]{14}\.[0-9a-f]{64})" + _END),
    ("Zoho token", "1000.", rb"(1000\.[0-9a-f]{32}\.[0-9a-f]{32})" + _END),
    ("SendGrid key", "SG.", rb"(SG\.[\w-]{16,32}\.[\w=-]{16,64})(?![\w-])"),
    ("New Relic key", "NRJS-", rb"(NRJS-[0-9a-f]{19})" + _END),
    ("Plaid token", "access-", rb"(access-(?:sandbox|production|development)-[0-9a-f-]{36})"),
    ("cloud key", "LTAI AKID", rb"(LTAI[A-Za-z0-9]{16,20}|AKID[A-Za-z0-9]{32})" + _END),
    ("cloud key", "AQVN", rb"(AQVN[\w-]{35,38})(?![\w-])"),
    ("cloud key", "t1.", rb"(t1\.[\w-]{20,300}={0,2}\.[\w-]{86}={0,2})(?![\w-])"),
    ("1Password key", "A3-", rb"(A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3})" + _END),
    ("1Password key", "ops_ey", rb"(ops_ey[A-Za-z0-9+/_-]{100,4000}={0,3})"),
    ("extended key", "xprv", rb"(xprv[1-9A-HJ-NP-Za-km-z]{100,112})" + _END),
    ("ClickHouse key", "4b1d", rb"(4b1d[A-Za-z0-9]{38})" + _END),
    ("intra key", "s-s4t2", rb"(s-s4t2(?:ud|af)-[0-9a-f]{64})" + _END),
    ("EasyPost key", "EZAK EZTK", rb"(EZ[AT]K[A-Za-z0-9]{54})" + _END),
    ("JFrog token", "cmVmdGtu", rb"(cmVmdGtu[A-Za-z0-9]{56})" + _END),
    ("Twitter token", "AAAAAAAAAA", rb"(A{20,25}[A-Za-z0-9%]{60,120})" + _END),
    ("Facebook token", "EAA", rb"(EAA[MC][A-Za-z0-9]{80,400})" + _END),
    ("Mapbox token", "sk.eyJ tk.eyJ", rb"([st]k\.eyJ[\w-]{40,200}\.[\w-]{20,60})"),
    ("Dropbox token", "sl.", rb"(sl\.(?:u\.)?[\w-]{100,2000})"),
    (
        "LaunchDarkly key",
        "sdk- mob- api-",
        rb"((?:sdk|mob|api)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})",
    ),
    ("Octopus key", "API-", rb"(API-[A-Z0-9]{26})" + _END),
    ("Elastic key", "essu_", rb"(essu_[A-Za-z0-9+/]{40,120}={0,2})"),
    ("Sourcegraph token", "sgp_", rb"(sgp_(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-fA-F]{40}|sgp_[A-Za-z0-9]{64})" + _END),
    ("Sourcegraph token", "slk_", rb"(slk_[0-9a-f]{64})" + _END),
    ("Fly.io token", "fm1r_ fm1a_ fm2_", rb"(fm(?:1[ar]|2)_[A-Za-z0-9+/]{60,4000}={0,3})"),
    ("model service key", "gsk_", rb"(gsk_[A-Za-z0-9]{52})" + _END),
    ("Nightfall key", "NF-", rb"(NF-(?=[0-9]{0,31}[A-Za-z])(?=[A-Za-z]{0,31}[0-9])[A-Za-z0-9]{32})(?![\w-])"),
    ("HubSpot token", "pat-na pat-eu", rb"(pat-(?:na|eu)[0-9]-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})" + _END),
    ("Grafana token", "eyJrIjoi", rb"(eyJrIjoi[A-Za-z0-9+/]{60,400}={0,2})" + _END),
    ("Voiceflow key", "VF.", rb"(VF\.(?:DM|WS)\.[0-9a-f]{24}\.[A-Za-z0-9]{16})" + _END),
    # Bundler's login for a host of gems, `user:password`; `__` in the name stands for a dot.
    (
        "login",
        "BUNDLE_",
        rb"BUNDLE_[A-Z0-9_]{1,60}__[A-Z]{2,8}(?:_?[Tt]oken|_?TOKEN)?[\"']?(?:[ ]string)?(?:[ ]?[?.:]{0,3}=>?|:|,)[ ]?"
        rb"[\"'`]?([\w.-]{4,64}:(?!//)[\w.!#$%&*+-]{6,64})(?![\w/:@])",
    ),
    ("ClickUp token", "pk_", rb"(pk_[0-9]{7,9}_[A-Z0-9]{30,36})" + _END),
)
# kind, prefixes, pattern of tokens that must look random, too
_RANDOM = (
    ("Hugging Face token", "hf_", rb"(hf_[A-Za-z0-9]{34,40})" + _END),
    (
        "Slack token",
        "xox",
        rb"(xox[abeoprscd](?:\.xox[bp])?-(?=[0-9-]{0,80}[A-Za-z])(?=[A-Za-z-]{0,12}[0-9])[0-9A-Za-z-]{20,300})",
    ),
    ("Slack token", "xoxa- xoxr-", rb"(xox[ar]-(?:[0-9]-)?(?=[a-z]{0,11}[0-9])[0-9a-z]{10,48})(?![\w-])"),
    ("Telnyx key", "KEY", rb"(KEY[\w-]{55})(?![\w-])"),
    ("Hugging Face token", "api_org_", rb"(api_org_[A-Za-z0-9]{34})" + _END),
    ("OpenShift token", "sha256~", rb"(sha256~[\w-]{43})(?![\w-])"),
    ("model service key", "sk-", rb"(sk-[A-Za-z0-9]{32,64})" + _END),
    ("NATS seed", "SUA SUB SAA SOA SNA SCA", rb"(S[UAONC][A-Z2-7]{56})" + _END),
    (
        WEB_TOKEN,
        "eyJ eyI ewog",
        rb"(ey[JI][A-Za-z0-9_-]{14,4000}(?:\.|%2E)ey[A-Za-z0-9_-]{14,4000}(?:(?:\.|%2E)[A-Za-z0-9_-]{0,4000}={0,2})?"
        rb"|ey[JI][A-Za-z0-9_-]{14,4000}\.(?:[A-Za-z0-9_-]{10,4000}\.){3}[A-Za-z0-9_-]{10,200})",
    ),
)
# kind, infixes, pattern; the first ones are specific
_INFIXED = (
    ("Terraform token", ".atlasv1.", rb"([A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70})"),
    ("model service key", "T3BlbkFJ", rb"(sk-[\w-]{20,100}T3BlbkFJ[\w-]{20,100})"),
    ("Slack webhook", "hooks.slack.com/", rb"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{30,80})"),
    ("chat webhook", "/api/webhooks/", rb"discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{15,21}/([\w-]{40,100})"),
    (
        "chat webhook",
        "/IncomingWebhook/",
        rb"webhook(?:b2)?/([\w@-]{20,100}/IncomingWebhook/[\w-]{20,64}/[\w-]{20,64})",
    ),
    ("webhook", "tines.com/webhook/", rb"tines\.com/webhook/[0-9a-f]{32}/([0-9a-f]{32})" + _END),
    (
        "webhook",
        "hooks.zapier.com/",
        rb"hooks\.zapier\.com/hooks/catch/([A-Za-z0-9]{6,32}(?:/[A-Za-z0-9]{6,16})?)" + _END,
    ),
    (
        "device token",
        "/api/v1/",
        rb"thingsboard[\w.]{0,40}/api/v1/([A-Za-z0-9]{20})(?=/(?:telemetry|attributes|rpc)\b)",
    ),
    ("cloud key", "softlayer.com/", rb"softlayer\.com/(?:soap|xmlrpc|rest)/v3(?:\.1)?/([0-9a-f]{64})" + _END),
    ("Google key", "1//0", rb"(1//0[\w-]{40,120})"),
    ("Azure key", "Q~", rb"([\w~.-]{3}[0-9]Q~[\w~.-]{31,34})(?![\w~.-])"),
    (
        "Azure key",
        "AzFu AzSe AzCa +ASt ACDb +ABa +AMC AIoT +ACR +AEh +ASb +ARm",
        rb"([A-Za-z0-9+/]{33,76}(?:Az(?:Fu|Se|Ca)|ACDb|AIoT|\+(?:ASt|ABa|AMC|ACR|AEh|ASb|ARm))[\w+/]{4,8}={0,2})"
        + _END,
    ),
    ("Azure key", "AZDO JQQJ9", rb"([A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,40}|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})" + _END),
    ("Azure signature", "sig=", rb"sig=([A-Za-z0-9%+/_-]{40,100}={0,2})"),
    ("Telegram token", ":A", rb"(?:(?<=/)bot)?([0-9]{5,16}:A[\w-]{34})(?![\w-])"),
    ("mail service key", "-us", rb"([0-9a-f]{32}-us[0-9]{1,2})" + _END),
    ("Sidekiq key", "contribsys.com", rb"([0-9a-f]{8}:[0-9a-f]{8})(?=@[\w.]*contribsys\.com)"),
    ("npm token", "/:_authToken=", rb"//[\w.-]{1,100}(?:/[\w.-]{1,100}){0,6}/:_authToken=\s?([\w+/=-]{20,200})"),
    ("MaxMind key", "_mmk", rb"([A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)" + _END),
    ("Asana token", "0/1 1/1 2/1", rb"([0-9]/[0-9]{16}(?:/[0-9]{16})?:[0-9a-f]{32})" + _END),
)
# The same for tokens that must look random. These infixes are frequent, so the patterns begin with a character and not
# with _BEGIN, which is tried at every byte.
_RANDOM_INFIXED = (
    ("Twilio key", "SK", rb"(SK(?:(?<![A-Za-z0-9]SK)|(?<=\\[nrt]SK))[0-9a-f]{32})" + _END),
    ("Vault token", "s.", rb"(s\.(?:(?<![A-Za-z0-9]s\.)|(?<=\\[nrt]s\.))[A-Za-z0-9]{24})" + _END),
    (
        "Discord token",
        ".",
        rb"([MNO](?:(?<![A-Za-z0-9].)|(?<=\\[nrt].))[\w-]{23,25}\.[\w-]{6}\.(?:[\w-]{38}|[\w-]{27}))(?![\w-])",
    ),
)


def _split(marks: str) -> tuple[bytes, ...]:
    return tuple(mark.encode() for mark in marks.split())


def _prefixed(kind: str, marks: str, length: int) -> Format:
    alternatives = b"|".join(map(re.escape, _split(marks)))
    pattern = rb"(?<![./_-])((?:%b)[\w-]{%d,400}(?:[.=~][\w-]{4,400}){0,3}={0,2})" % (alternatives, length)
    return Format(kind, _split(marks), (), re.compile(_BEGIN + pattern), is_specific=False)


FORMATS: tuple[Format, ...] = (
    *(_prefixed(*row) for row in _PREFIXED),
    *(Format(kind, _split(marks), (), re.compile(_BEGIN + source), True) for kind, marks, source in _SPECIFIC),
    *(Format(kind, _split(marks), (), re.compile(_BEGIN + source), False) for kind, marks, source in _RANDOM),
    *(Format(kind, (), _split(marks), re.compile(_BEGIN + source), True) for kind, marks, source in _INFIXED),
    *(Format(kind, (), _split(marks), re.compile(source), False) for kind, marks, source in _RANDOM_INFIXED),
)
