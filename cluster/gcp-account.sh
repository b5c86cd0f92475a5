#!/usr/bin/env bash
# What cluster/gcp.yaml needs in a Google Cloud project, and nothing more: a network that only one address can enter by
# SSH, an account each for head and workers, a bucket. Costs nothing by itself; the bucket costs what lies in it.
#
#   bash cluster/gcp-account.sh PROJECT REGION YOUR_ADDRESS/32
set -euo pipefail
[[ $# -eq 3 ]] || { echo "usage: bash cluster/gcp-account.sh PROJECT REGION YOUR_ADDRESS/32" >&2; exit 2; }
project=$1 region=$2 ssh_from=$3
[[ $ssh_from =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}/(1[6-9]|2[0-9]|3[0-2])$ ]] || {
  echo "$ssh_from: not an address with /32, or a network of at most a /16" >&2; exit 2; }
head=bdw-head@$project.iam.gserviceaccount.com worker=bdw-worker@$project.iam.gserviceaccount.com
bucket=gs://$project-bdw
cloud() { gcloud --quiet --project "$project" "$@"; }

cloud services enable compute.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com storage.googleapis.com

# A network of its own: the default one lets the whole world knock on port 22.
cloud compute networks create bdw --subnet-mode=custom
cloud compute networks subnets create bdw --network=bdw --region="$region" --range=10.77.0.0/20 --enable-private-ip-google-access
cloud compute firewall-rules create bdw-ssh --network=bdw --allow=tcp:22 --source-ranges="$ssh_from" --target-tags=bdw
cloud compute firewall-rules create bdw-inside --network=bdw --allow=tcp,udp,icmp --source-tags=bdw --target-tags=bdw

cloud iam service-accounts create bdw-head --display-name="bdw: head of the Ray cluster"
cloud iam service-accounts create bdw-worker --display-name="bdw: workers of the Ray cluster"
# The head starts and ends machines and hands them the workers' account, no other.
cloud iam roles create bdwAutoscaler --stage=GA --title="bdw autoscaler" --permissions=compute.disks.create,compute.images.useReadOnly,compute.instances.create,compute.instances.delete,compute.instances.get,compute.instances.list,compute.instances.setLabels,compute.instances.setMetadata,compute.instances.setServiceAccount,compute.instances.setTags,compute.subnetworks.use,compute.subnetworks.useExternalIp,compute.zoneOperations.get
cloud projects add-iam-policy-binding "$project" --member="serviceAccount:$head" --role="projects/$project/roles/bdwAutoscaler" --condition=None
cloud iam service-accounts add-iam-policy-binding "$worker" --member="serviceAccount:$head" --role=roles/iam.serviceAccountUser

cloud storage buckets create "$bucket" --location="$region" --uniform-bucket-level-access --public-access-prevention
for account in "$head" "$worker"; do
  cloud storage buckets add-iam-policy-binding "$bucket" --member="serviceAccount:$account" --role=roles/storage.objectUser
  cloud storage buckets add-iam-policy-binding "$bucket" --member="serviceAccount:$account" --role=roles/storage.legacyBucketReader
done

cat <<END
REPLACE_ME_PROJECT         $project
REPLACE_ME_HEAD_ACCOUNT    $head
REPLACE_ME_WORKER_ACCOUNT  $worker
REPLACE_ME_SUBNETWORK      projects/$project/regions/$region/subnetworks/bdw
--storage-path             $bucket/sweeps
END
