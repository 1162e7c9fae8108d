"""Names of services whose keys are random text or UUIDs without a prefix, in small letters and without separators."""

from collections.abc import Sequence

_SERVICES = frozenset(
    b"""
    abstractapi activecampaign adafruit ado aftership airbrake airtable airvisual algolia amadeus anypoint apideck
    apiflash apify apilayer apimatic apitemplate appcues appfollow artifactory asana assemblyai atera aviationstack
    aylien azuredevops bannerbear baremetrics bitfinex bitly bitmex bittrex blazemeter blockcypher blockfrost
    blocknative bombbomb brandfetch brevo browserstack bscscan buddyns bugsnag bulksms bunnycdn calendarific
    calendly callrail campaignmonitor capsulecrm censys chargebee chargify chartmogul clearbit clickatell clicksend
    clickup clockify cloudconvert cloudinary cloudmersive cloudsmith codemagic cohere coinapi coinbase coingecko
    coinlayer coinlib coinmarketcap convertapi convertkit countrylayer coveralls cronitor cryptocompare
    currencyfreaks currencylayer currencyscoop customerio databox datadog deepgram deepl deepseek delighted
    detectlanguage dialpad docparser documo docusign dropbox duply eagleeyenetworks easypost elasticemail elevenlabs
    etherscan etsy eventbrite everhour exchangerateapi exchangeratesapi fastforex fastly fastspring fibery figma
    filestack finage finnhub flatio flickr flightapi flightstats flutterwave foursquare freshbooks freshdesk ftx
    fullstory geoapify geocodio geokeo getgeoapi getresponse giphy glassnode gocardless graphhopper gumroad
    helpscout holidayapi hubspot hunterio hypertrack infura insightly instatus intercom interseller intrinio
    invoiceocean ipapi ipdata ipgeolocation ipify ipinfo ipquality ipstack jotform jumpcloud kaleyra karmacrm
    kickbox klaviyo kontent kraken kucoin kylas languagelayer launchdarkly leadfeeder linkedin linkpreview livestorm
    loadmill locationiq logdna loggly loginradius logz mailboxlayer mailboxvalidator mailchimp mailerlite mailgun
    mailjet mailmodo mailsac mandrill mapbox mapquest marketstack mattermost mavenlink mediastack meraki mesibo
    messagebird metaapi metrilo mindmeister mixmax mockaroo moesif moonclerk moosend moralis mrticktock myfreshworks
    nethunt newrelic newsapi newscatcher nexmo nftport nicereply nightfall numverify nutritionix nylas oanda okta
    omnisend onesignal oopspam opencage opengraph openuv openweather openweathermap opsgenie owlbot owm pagerduty
    pandadoc pandascore paperform paralleldots parsehub parseur partnerstack passbase pastebin paydirtapp paymo
    paymongo paystack pdflayer pdfshift pepipost pinata pinecone pipedrive pivotaltracker pixabay plivo polygonscan
    positionstack postman postmark prospectio proxycrawl pubnub pusher pyowm qualaroo quickmetrics rapidapi raygun
    razorpay rebrandly recurly refiner rentman restpack rocketreach roninapp runscope salesblink satismeter
    saucelabs scraperapi scraperbox scrapestack scrapfly scrapingant scrapingbee screenshotapi screenshotlayer
    securitytrails selectpdf sendbird sendgrid sendinblue serpapi serphouse serpstack sheety shipday shortcut
    shotstack shutterstock signalwire signupgenius simplynoted sinch siteleaf skrapp skybiometry smartsheet
    smartsheets smartystreets smooch snyk sonarlogin sparkpost speechmatics spoonacular sportradar sportsmonk
    squarespace stackhawk statuspage stitchdata stormboard stormglass storyblok strava sugester supernotes
    surveyanyplace surveybot surveysparrow survicate swiftype tatum tatumio taxjar teamgate telesign telnyx
    textmagic theoddsapi tiingo timezoneapi timezonedb todoist toggl tomorrowio tomtom tradier transferwise
    travelpayouts twelvedata twilio tyntec typeform ubidots uclassify unifyid unplugg unsplash uplead uploadcare
    uptimerobot upwave userflow userstack vatlayer versioneye virtuagym visualcrossing voicegain vonage voodoosms
    vpnapi vultr vyte wakatime walkscore wandb weatherapi weatherbit weatherstack webex webflow webscraping wepay
    whoxy workstack worldcoinindex worldweather wrike yelp yousign zapier zendesk zenkit zenrows zenscrape zenserp
    zeplin zerobounce zipapi zipbooks zipcodeapi zipcodebase zonkafeedback
    """.split()
)


def is_service(words: Sequence[bytes]) -> bool:
    """Whether words, written without separators, are the name of a service."""
    return b"".join(words) in _SERVICES


def has_service(words: Sequence[bytes]) -> bool:
    """Whether one to three of `words`, in their order, are the name of a service."""
    return any(is_service(words[start : start + count]) for start in range(len(words)) for count in (1, 2, 3))
